"""Trains cases one after the other under whatever launcher started it; run by test_distributed.py."""

import json
import sys
from pathlib import Path

import torch
from accelerate import PartialState
from accelerate.state import AcceleratorState
from fsdp_on_cpus import shard_on_cpus
from peft import LoraConfig
from sharded_cases import METHODS, REWARD_MODELS, SETTINGS
from transformers.integrations.deepspeed import unset_hf_deepspeed_config

from align.models.second_pass.image_memo import is_sharded

PROBE = torch.arange(3, 23)[None]


def train(case: str, folder: Path) -> None:
    """Trains two steps, saves, and writes what the test compares.

    Args:
        case: `METHOD-WEIGHTS-MODEL`; the model is `folder/MODEL`, and the run becomes `folder/CASE`.
        folder: Where models are and runs go.
    """
    AcceleratorState._reset_state()  # DeepSpeed's "auto" keys were filled in for the trainer before
    unset_hf_deepspeed_config()  # while it lives, ZeRO-3 splits what is built: a case would lean on the one before
    method, weights, model = case.split("-")
    out = folder / case
    task = "SEQ_CLS" if method in REWARD_MODELS else "CAUSAL_LM"
    lora = LoraConfig(r=4, target_modules="all-linear", task_type=task) if weights == "lora" else None
    trainer = METHODS[method](str(folder / model), str(out), lora)
    trainer.train()
    trainer.save_model(str(out))
    trained = trainer.accelerator.unwrap_model(trainer.model)
    trained.eval()
    with torch.no_grad():  # every rank takes part: under ZeRO-3 each holds a part
        logits = trained(input_ids=PROBE, attention_mask=torch.ones_like(PROBE)).logits
    if method == "crome_heads":
        logits = logits.mean(-1, keepdim=True)  # what is saved
    if trainer.accelerator.is_main_process:
        torch.save(logits, out / "logits.pt")
        facts = {"history": trainer.state.log_history, "processes": trainer.accelerator.num_processes}
        facts["backend"] = torch.distributed.get_backend() if torch.distributed.is_initialized() else None
        plugin = trainer.accelerator.state.deepspeed_plugin
        facts["zero_stage"] = plugin.zero_stage if plugin else 0
        facts["is_sharded"] = is_sharded(trainer.model)
        (out / "facts.json").write_text(json.dumps(facts))


def main(folder: str, batch_size: str, *cases: str) -> None:
    """Trains every case in these processes, which import torch and TRL once."""
    shard_on_cpus()
    SETTINGS["per_device_train_batch_size"] = int(batch_size)
    for case in cases:
        train(case, Path(folder))
    PartialState().destroy_process_group()  # as `align train` does


if __name__ == "__main__":
    main(*sys.argv[1:])

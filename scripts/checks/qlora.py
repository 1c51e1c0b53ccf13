"""Whether methods train an adapter on a model in 4 bits, and what that leaves of the memory.

    python -m scripts.checks.qlora --model random-large --device cuda --json qlora.json

Two steps each of RRPO, Crome and ACRE on a base that bitsandbytes has quantised (NF4, computed in bfloat16), as a
recipe with `use_peft: true`, `load_in_4bit: true` and `dtype: bfloat16` has it.
`steps` counts those whose gradient is finite and not 0; `memory` is the weights of the policy in bytes over those in
bfloat16; `saved` says that what RRPO saves is an adapter alone.
"""

import random
import tempfile
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoTokenizer, BitsAndBytesConfig

from align.methods.acre.config import ACREConfig
from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from rewards import answer_consistency
from scripts.benches import acre as bench_acre
from scripts.benches.random_model import NAMES, random_model
from scripts.checks.images import good_steps
from scripts.harness import Options, quiet, write_numbers


def settings(arguments: Namespace, **more: Any) -> dict[str, Any]:
    """Returns what all trainers are told."""
    in_four_bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
    )
    return {
        "output_dir": tempfile.mkdtemp(), "max_steps": 2, "logging_steps": 1, "per_device_train_batch_size": 8,
        "save_strategy": "no", "report_to": "none", "disable_tqdm": True, "bf16": True,
        "use_cpu": arguments.device == "cpu",
        "model_init_kwargs": {"quantization_config": in_four_bits, "dtype": torch.bfloat16},
    } | more  # fmt: skip


def adapter(task: str = "CAUSAL_LM") -> LoraConfig:
    """Returns an adapter of all linear layers."""
    return LoraConfig(r=8, target_modules="all-linear", task_type=task)


def of_rrpo(arguments: Namespace) -> RRPOTrainer:
    """Builds RRPO."""
    rows = [{"prompt": f"{i}: ", "chosen": f"the river {i}", "rejected": f"the stone {i}"} for i in range(16)]
    return RRPOTrainer(
        arguments.folder, args=RRPOConfig(**settings(arguments)), train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(arguments.folder), peft_config=adapter(),
    )  # fmt: skip


def of_crome(arguments: Namespace) -> CromeTrainer:
    """Builds Crome."""
    rows = [
        {"prompt": f"{i}: ", "chosen": f"the river {i}", "rejected": f"the stone {i}", "tie": i % 2 == 1}
        for i in range(16)
    ]
    return CromeTrainer(
        arguments.folder, args=CromeConfig(**settings(arguments)), train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(arguments.folder), peft_config=adapter("SEQ_CLS"),
    )  # fmt: skip


def of_acre(arguments: Namespace) -> Any:
    """Builds ACRE, whose responses are well-formed ones."""
    rows = bench_acre.make_rows(8, random.Random(0))
    return bench_acre.FixedACRE(
        arguments.folder, [answer_consistency],
        ACREConfig(**settings(arguments, num_generations=8, max_completion_length=32)), Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(arguments.folder, padding_side="left"),
        peft_config=adapter(), render_prompt=bench_acre.render,
    )  # fmt: skip


METHODS: dict[str, Callable[[Namespace], Any]] = {"rrpo": of_rrpo, "crome": of_crome, "acre": of_acre}


def main(argv: list[str] | None = None) -> None:
    """Trains all three."""
    parser = Options(__doc__)
    parser.add_argument("--model", choices=NAMES, default="random")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    quiet()
    arguments.folder = random_model(tempfile.mkdtemp(), arguments.model)
    found: dict[str, Any] = {"steps": 0}
    for name, build in METHODS.items():
        trainer = build(arguments)
        trainer.train()
        found["steps"] += good_steps(trainer)
        if name == "rrpo":
            base = trainer.model.get_base_model()
            held = sum(weight.nbytes for key, weight in base.named_parameters() if "lora_" not in key)
            full = sum(2 * _count(weight) for key, weight in base.named_parameters() if "lora_" not in key)
            found["memory"] = held / full
            saved = Path(tempfile.mkdtemp())
            trainer.save_model(str(saved))
            found["saved"] = int({path.name for path in saved.glob("*.safetensors")} == {"adapter_model.safetensors"})
    print(f"{found['steps']} of 6 steps with a gradient, weights {found['memory']:.2f} of bfloat16")
    write_numbers(arguments.json, found)


def _count(weight: torch.nn.Parameter) -> int:
    """Counts weights; two of four bits are packed into a byte."""
    return weight.numel() * (2 if weight.dtype == torch.uint8 else 1)


if __name__ == "__main__":
    main()

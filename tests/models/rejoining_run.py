"""A run of TRL's `GRPOTrainer` with a vLLM server; in processes by test_vllm_rejoin.py."""

import sys
from pathlib import Path

import pytest
from accelerate import PartialState
from datasets import Dataset
from tiny import tiny_tokenizer
from trained import logged
from trl import GRPOConfig, GRPOTrainer
from trl_server import weights_by_file

from align.errors import ServerError
from align.models.vllm_engine import vllm_rollouts


def make_trainer(policy, url, folder, **settings):
    args = GRPOConfig(
        output_dir=str(folder),
        use_vllm=True,
        vllm_mode="server",
        vllm_server_base_url=url,
        learning_rate=3e-2,
        per_device_train_batch_size=4,
        num_generations=4,
        max_completion_length=12,
        bf16=False,
        use_cpu=True,
        report_to="none",
        logging_steps=1,
        **{"max_steps": 4, "save_strategy": "no", "vllm_server_timeout": 60} | settings,
    )
    with vllm_rollouts(args):
        return GRPOTrainer(
            str(policy),
            reward_funcs=lambda completions, **_: [float(len(set(each))) for each in completions],
            args=args,
            train_dataset=Dataset.from_list([{"prompt": f"{i} + {i} ="} for i in range(8)]),
            processing_class=tiny_tokenizer(),
        )


def main(policy: str, weights: str, url: str, timeout: str) -> None:
    """Trains, and says on every process how it ended."""
    with pytest.MonkeyPatch.context() as patch:
        weights_by_file(patch, Path(weights))
        trainer = make_trainer(policy, url, Path(policy) / "run", vllm_server_timeout=float(timeout))
        try:
            trainer.train()
            gaps = logged(trainer, "sampling/sampling_logp_difference/mean")
            end = f"{trainer.state.global_step} steps, largest gap {max(gaps, default=0):.3f}"
        except ServerError as error:
            end = f"ServerError {error}"
    sys.stdout.write(f"{PartialState().process_index} of {PartialState().num_processes}: {end}\n")
    PartialState().destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])

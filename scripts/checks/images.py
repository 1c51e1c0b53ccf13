"""Whether images work on a device: second answers in both ways of reading, and steps of ACRE and RRPO.

    python -m scripts.checks.images --size large --device cuda --dtype bfloat16 --json images.json

The model is the random Qwen2.5-VL of `benches/acre_images.py`. `letters` is the largest difference, in nats, between
second answers whose prompt was read once for all rows and those that were read row by row; `steps` counts the steps of
training whose gradient is finite and not 0, of two by ACRE and two by RRPO.
"""

import math
from argparse import Namespace
from typing import Any

import torch
from datasets import Dataset

from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from align.models.second_pass.forward import score_letters
from scripts.benches import acre_images as bench_acre_images
from scripts.benches.device import add_device, on_device
from scripts.harness import Options, quiet, write_numbers


def letters_apart(trainer: Any, row: dict[str, Any]) -> float:
    """Scores rows of one prompt with images in both ways."""
    tokenizer = trainer._tokenizer
    shuffled, letters = trainer._shuffled_prompt(row, (1, 0, 3, 2)), tokenizer.convert_tokens_to_ids(list("ABCD"))
    rows = [
        shuffled._replace(
            prefix_ids=tokenizer.encode("<think>" + "river " * n + "</think><answer>"), letter_ids=letters
        )
        for n in range(1, 9)
    ]
    trainer.model.eval()
    shared, plain = (
        torch.tensor(
            score_letters(
                trainer.model, rows, pad_token_id=tokenizer.pad_token_id, batch_size=8, share_prompts=share,
                remember_images=share,
            )
        )
        for share in (True, False)
    )  # fmt: skip
    return float((shared - plain).abs().max())


def good_steps(trainer: Any) -> int:
    """Counts the steps whose gradient is one."""
    norms = [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
    return sum(math.isfinite(norm) and norm > 0 for norm in norms)


def of_rrpo(arguments: Namespace, rows: list[dict[str, Any]]) -> int:
    """Takes two steps on pairs with images."""
    (model, processor), (reference, _) = (bench_acre_images.make_model(arguments.size) for _ in range(2))
    pairs = [
        {
            "prompt": row["prompt"],
            "chosen": [{"role": "assistant", "content": f"It is {row['options'][0]}."}],
            "rejected": [{"role": "assistant", "content": f"It is {row['options'][1]}."}],
            "images": row["images"],
        }
        for row in rows
    ]
    dtype = getattr(torch, arguments.dtype)
    config = RRPOConfig(
        max_steps=2, per_device_train_batch_size=2, logging_steps=1, max_length=None, **on_device(arguments),
    )  # fmt: skip
    trainer = RRPOTrainer(
        model.to(dtype), reference.to(dtype), args=config, train_dataset=Dataset.from_list(pairs),
        processing_class=processor,
    )  # fmt: skip
    trainer.train()
    return good_steps(trainer)


def main(argv: list[str] | None = None) -> None:
    """Runs both."""
    parser = Options(__doc__)
    parser.add_argument("--size", choices=bench_acre_images.SIZES, default="small")
    parser.add_argument("--image_side", type=int, default=224, help="Pixels; 224 makes 64 tokens.")
    add_device(parser)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    quiet()
    rows = bench_acre_images.make_rows(8, 2, arguments.image_side)
    arguments.completion_tokens = 48
    trainer = bench_acre_images.make_trainer("group", arguments, rows)
    trainer.args.max_steps, trainer.args.logging_steps = 2, 1
    trainer.train()
    found = {"letters": letters_apart(trainer, rows[0]), "steps": good_steps(trainer) + of_rrpo(arguments, rows)}
    print(f"letters {found['letters']:.4f} nats apart, {found['steps']} of 4 steps with a gradient")
    write_numbers(arguments.json, found)


if __name__ == "__main__":
    main()

"""Time of a training step of Crome against TRL's `RewardTrainer` on the same pairs of the same model.

    python -m scripts.models.smollm2 --out models/smollm2-135m
    python -m scripts.benches.crome --model models/smollm2-135m --check_bars --json bench.json

A step collates pairs of the recipe, among them ties and several sources, and runs forward and backward with all that
is logged; TRL takes every pair to have an order. The optimizer's part is the same for both and left out. All trainers
are in one process and take turns on the same pairs; reported is the median of the ratios; then operations and the most
bytes at once of one more step. Without the folder of the model, a random one takes its place: of some million weights,
or of 0.3 billion with `--model random-large`.
"""

import argparse
import json
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from datasets import Dataset
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig, PrinterCallback
from trl import RewardConfig, RewardTrainer

from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer
from scripts.benches.counted import cost_of
from scripts.benches.device import add_turns, clock, in_turns, on_device, told_costs, told_ratio
from scripts.benches.random_model import size_of
from scripts.harness import Options, quiet, tell, write_numbers

LAB = Path(__file__).resolve().parents[2] / "recipes/crome/assets/lab"
ARMS = ("trl", "crome")
TIME_BAR, FLOPS_BAR = 1.05, 1.0
COLUMNS = ("prompt", "chosen", "rejected", "tie", "source")


def load_model(folder: Path) -> tuple[Any, Any, str]:
    """Loads a model with a new head and its tokenizer; makes a random one if there is no such folder."""
    torch.manual_seed(0)
    if folder.is_dir():
        model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1, dtype=torch.float32)
        return model, AutoTokenizer.from_pretrained(folder), str(folder)
    tokenizer = AutoTokenizer.from_pretrained(LAB / "model")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        **size_of(folder),
        num_labels=1,
        pad_token_id=tokenizer.pad_token_id,
    )
    return AutoModelForSequenceClassification.from_config(config), tokenizer, "random"


def make_trainer(
    arm: str, model: Any, tokenizer: Any, rows: list[dict[str, Any]], arguments: argparse.Namespace
) -> RewardTrainer:
    """Builds one arm on the shared model, and takes one step to warm up."""
    settings: dict[str, Any] = {
        "max_steps": 1,
        "per_device_train_batch_size": arguments.pairs,
        "learning_rate": 0.0,  # all arms go on with the same weights
        "gradient_checkpointing": False,
        "max_length": None,
    }
    trainer_class, config = (RewardTrainer, RewardConfig) if arm == "trl" else (CromeTrainer, CromeConfig)
    if arm != "trl":  # what is measured are the ties; `shared_prompts` measures the rest
        settings["share_prompts"] = "off"
    own = config(**settings | on_device(arguments))
    trainer = trainer_class(model, args=own, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer


def run_step(trainer: RewardTrainer, first: int, pairs: int) -> None:
    """Takes one step on some pairs."""
    rows = [trainer.train_dataset[number] for number in range(first, first + pairs)]
    trainer.model.zero_grad()
    trainer.training_step(trainer.model, trainer.data_collator(rows))


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Times all arms in turn, counts them, and prints what came out."""
    model, tokenizer, name = load_model(arguments.model)
    model, now = model.to(getattr(torch, arguments.dtype)), clock(arguments, "wall")
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    lines = (LAB / "augmented.jsonl").read_text(encoding="utf-8").splitlines()[: arguments.pairs * arguments.rounds]
    rows = [{column: json.loads(line)[column] for column in COLUMNS} for line in lines]
    trainers = {arm: make_trainer(arm, model, tokenizer, rows, arguments) for arm in ARMS}
    print(f"{name} model of {size:.1f} M weights, {arguments.pairs} pairs a step, {arguments.rounds} rounds")

    def take(arm: str, number: int) -> float:
        started = now()
        run_step(trainers[arm], number * arguments.pairs, arguments.pairs)
        return now() - started

    seconds = in_turns(ARMS, arguments.rounds, take)
    told: dict[str, Any] = {arm: told_ratio(arm, seconds[arm], seconds["trl"]) for arm in ARMS}
    costs = {arm: cost_of(each.model, partial(run_step, each, 0, arguments.pairs), arguments.device)
             for arm, each in trainers.items()}  # fmt: skip
    about = {"model": name, "million_weights": size, "ties": sum(row["tie"] for row in rows)}
    return about | told | {"counted": told_costs(costs, lambda arm: "trl")}


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if the bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/smollm2-135m"))
    parser.add_argument("--pairs", type=int, default=4, help="of a step")
    add_turns(parser, 15, threads=1, clock=None)
    parser.add_numbers(f"exit code 1 if a ratio is above {TIME_BAR}, {FLOPS_BAR} of FLOPs")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    record = compare(arguments)
    flops = record["counted"]["crome"]["flops_ratio"]
    held = record["crome"]["median_ratio"] <= TIME_BAR and round(flops, 4) <= FLOPS_BAR
    write_numbers(arguments.json, {name: getattr(arguments, name) for name in ("pairs", "rounds", "threads")}, record)
    return tell({f"median ratio <= {TIME_BAR}, FLOPs <= {FLOPS_BAR}": held}, arguments)


if __name__ == "__main__":
    sys.exit(main())

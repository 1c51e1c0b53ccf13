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
import statistics
import sys
from collections.abc import Callable
from dataclasses import asdict
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
from scripts.benches.device import add_device, clock, on_device, ratios_of
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


def run_step(trainer: RewardTrainer, numbers: list[int], clock: Callable[[], float]) -> float:
    """Takes one step on the rows with these numbers and returns its seconds."""
    rows = [trainer.train_dataset[number] for number in numbers]
    trainer.model.zero_grad()
    started = clock()
    trainer.training_step(trainer.model, trainer.data_collator(rows))
    return clock() - started


def count(trainers: dict[str, RewardTrainer], numbers: list[int], device: str) -> dict[str, Any]:
    """Counts a step of TRL's trainer, which is the floor, and one of Crome."""
    trl, crome = (
        cost_of(trainers[arm].model, partial(run_step, trainers[arm], numbers, float), device)
        for arm in ("trl", "crome")
    )
    ratios = {"flops_ratio": crome.flops / trl.flops, "peak_ratio": crome.peak_bytes / trl.peak_bytes}
    print(
        f"crome / trl: {ratios['flops_ratio']:.3f} of the FLOPs (bar {FLOPS_BAR}), "
        f"{ratios['peak_ratio']:.3f} of the peak bytes"
    )
    return {"trl": asdict(trl), "crome": asdict(crome)} | ratios


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Times all arms in turn and prints what came out."""
    model, tokenizer, name = load_model(arguments.model)
    model, ticks = model.to(getattr(torch, arguments.dtype)), clock(arguments, "wall")
    size = sum(weight.numel() for weight in model.parameters()) / 1e6
    lines = (LAB / "augmented.jsonl").read_text(encoding="utf-8").splitlines()[: arguments.pairs * arguments.rounds]
    rows = [{column: json.loads(line)[column] for column in COLUMNS} for line in lines]
    trainers = {arm: make_trainer(arm, model, tokenizer, rows, arguments) for arm in ARMS}
    print(f"{name} model of {size:.1f} M weights, {arguments.pairs} pairs a step, {arguments.rounds} rounds")
    seconds: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(arguments.rounds):
        numbers = list(range(number * arguments.pairs, (number + 1) * arguments.pairs))
        for arm in ARMS if number % 2 else reversed(ARMS):
            seconds[arm].append(run_step(trainers[arm], numbers, ticks))
    for arm in ARMS:
        print(f"{arm:16s} {1000 * statistics.median(seconds[arm]) / arguments.pairs:9.2f} ms per pair")
    ratio, low, high = ratios_of(seconds["crome"], seconds["trl"])
    print(f"crome / trl: {ratio:.3f} (quartiles {low:.3f}-{high:.3f})")
    counted = count(trainers, list(range(arguments.pairs)), arguments.device)
    return {
        "counted": counted,
        "model": name,
        "million_weights": size,
        "ties": sum(row["tie"] for row in rows),
        "seconds": seconds,
        "time_ratio": ratio,
        "time_ratio_quartiles": (low, high),
    }


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if the bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=Path, default=Path("models/smollm2-135m"))
    parser.add_argument("--pairs", type=int, default=4, help="of a step")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    add_device(parser)
    parser.add_numbers(f"exit code 1 if a ratio is above {TIME_BAR}, {FLOPS_BAR} of FLOPs")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    record = compare(arguments)
    held = record["time_ratio"] <= TIME_BAR and round(record["counted"]["flops_ratio"], 4) <= FLOPS_BAR
    write_numbers(arguments.json, {name: getattr(arguments, name) for name in ("pairs", "rounds", "threads")}, record)
    return tell({f"median ratio <= {TIME_BAR}, FLOPs <= {FLOPS_BAR}": held}, arguments)


if __name__ == "__main__":
    sys.exit(main())

"""A step of RRPO and of Crome that reads what both responses of a pair begin with once, against TRL's trainers.

    python -m scripts.models.smollm2 --out models/smollm2-135m
    python -m scripts.benches.shared_prompts --model random --rounds 5
    python -m scripts.benches.shared_prompts --model models/smollm2-135m --data facts --pairs 8 --rounds 3

A step is `--pairs` pairs of a recipe's data as the trainer collates them, forward and backward with all that is
logged; the optimizer's part is the same for all. `lab` is the data of the quickstarts, `facts` that of SmolLM2's
recipes. The arms are `trl` (TRL's `DPOTrainer` or `RewardTrainer`), `off` and `auto` (ours with this `share_prompts`);
policy and reference of RRPO are two models. All are in one process and take turns on the same pairs; reported is the
median of the ratios to TRL's step of the same round. One more step of each is counted, which no machine changes:
operations, over those of TRL and over their floor (see `floor_of`), tokens that the policy read, and the most bytes at
once.
"""

import argparse
import json
from functools import partial
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer

from align.methods.crome.config import CromeConfig
from align.methods.crome.trainer import CromeTrainer
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.trainer import RRPOTrainer
from align.models.shared_prefixes import begin_alike
from scripts.benches.counted import Cost, cost_of, least
from scripts.benches.device import add_turns, clock, in_turns, model_of, on_device, told_costs, told_ratio, weights
from scripts.benches.random_model import ABOUT_MODEL, SMOLLM2, model_there
from scripts.harness import Options, quiet, write_numbers

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
ARMS = ("trl", "off", "auto")
METHODS: dict[str, tuple[Any, Any, Any, Any]] = {
    "rrpo": (DPOTrainer, DPOConfig, RRPOTrainer, RRPOConfig),
    "crome": (RewardTrainer, RewardConfig, CromeTrainer, CromeConfig),
}
FILES = {("rrpo", "lab"): "train", ("crome", "lab"): "augmented"}
COLUMNS = ("prompt", "chosen", "rejected", "tie", "source")


def read_rows(method: str, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Reads the pairs of a recipe, as many as are needed."""
    name = FILES.get((method, arguments.data), "train")
    path = RECIPES / method / "assets" / arguments.data / f"{name}.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()[: arguments.pairs * max(1, arguments.rounds)]
    return [{name: row[name] for name in COLUMNS if name in row} for row in map(json.loads, lines)]


def make_trainer(method: str, arm: str, arguments: argparse.Namespace, rows: list[dict[str, Any]]) -> Any:
    """Builds one arm with models of its own."""
    parent, parent_config, ours, config = METHODS[method]
    settings = {"max_length": None, "gradient_checkpointing": False} | on_device(arguments)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    torch.manual_seed(0)  # of new score heads
    load = partial(AutoModelForCausalLM.from_pretrained, arguments.model)
    if method == "crome":
        load = partial(AutoModelForSequenceClassification.from_pretrained, arguments.model, num_labels=1)
    more = {"ref_model": load(**weights(arguments))} if method == "rrpo" else {}
    trainer = (parent if arm == "trl" else ours)(
        load(**weights(arguments)),
        args=parent_config(**settings) if arm == "trl" else config(**settings, share_prompts=arm),
        train_dataset=Dataset.from_list(rows),
        processing_class=tokenizer,
        **more,
    )
    trainer.model.train()
    return trainer


def take_step(trainer: Any, batch: dict[str, Tensor]) -> None:
    """Takes a step without the optimizer."""
    trainer.model.zero_grad()
    trainer.compute_loss(trainer.model, dict(batch)).backward()


def collate(trainer: Any, first: int, pairs: int) -> dict[str, Tensor]:
    """Makes the batch of some pairs."""
    batch = trainer.data_collator([trainer.train_dataset[place] for place in range(first, first + pairs)])
    return {name: value.to(trainer.accelerator.device) for name, value in batch.items()}


def floor_of(trainer: Any, batch: dict[str, Tensor]) -> tuple[int, int]:
    """Counts the operations and the tokens of a step that reads every token once, without padding.

    What all sequences of the batch begin with is one reading, and behind it what both sequences of a pair have in
    common. A token looks at what stands before it in its own sequence only, and the way back is twice the way there.
    RRPO's reference reads the same once, and the output head is needed where `scripts.benches.rrpo` says so; tokens
    that both responses begin with are projected once.
    """
    ids, lengths = batch["input_ids"], batch["attention_mask"].sum(1).tolist()
    sequences = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
    pairs = len(sequences) // 2
    flops, tokens = least(trainer.model.base_model, sequences, [str(place % pairs) for place in range(2 * pairs)])
    if "completion_mask" not in batch:
        return 3 * flops, tokens
    alike = begin_alike(ids, batch["attention_mask"])[:, 1:]
    chosen, rejected = batch["completion_mask"][:, 1:].bool().chunk(2)
    marked = batch["span_mask"][pairs:, 1:].bool()
    needed = int(chosen.sum() + (marked & ~alike).sum())
    logged = int((rejected & ~alike & ~marked).sum())
    head = trainer.model.get_output_embeddings().weight.numel()
    return (3 + 1) * flops + 2 * head * ((1 + 2 + 1) * needed + logged), tokens


def count(trainers: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    """Counts a step of every arm."""
    last = list(trainers)[-1]
    costs: dict[str, Cost] = {}
    for arm, trainer in trainers.items():
        batch = collate(trainer, 0, arguments.pairs)
        take_step(trainer, batch)  # a model is tried in its first
        trainer.model.zero_grad(set_to_none=True)
        costs[arm] = cost_of(trainer.model, partial(take_step, trainer, batch), arguments.device)
        trainer.model.zero_grad(set_to_none=True)
    floor_flops, floor_tokens = floor_of(trainers[last], collate(trainers[last], 0, arguments.pairs))
    found: dict[str, Any] = told_costs(costs, lambda arm: "trl")
    for arm, cost in costs.items():
        over = {"flops_over_floor": cost.flops / floor_flops, "tokens_over_floor": cost.tokens / floor_tokens}
        found[arm] |= over
        print(f"{arm:11s} over the floor: " + ", ".join(f"{name} {value:.3f}" for name, value in over.items()))
    return found | {"floor_flops": floor_flops, "floor_tokens": floor_tokens}


def measure(method: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Times and counts every arm of one method."""
    rows = read_rows(method, arguments)
    trainers = {arm: make_trainer(method, arm, arguments, rows) for arm in ARMS}
    print(f"{method}: {arguments.pairs} pairs of {arguments.data}")
    counted, now = count(trainers, arguments), clock(arguments, arguments.clock)  # counting warms up
    most = len(trainers["auto"].train_dataset) - arguments.pairs  # RRPO leaves pairs out that have nothing to mark

    def take(arm: str, number: int) -> float:
        batch = collate(trainers[arm], min(number * arguments.pairs, most), arguments.pairs)
        started = now()
        take_step(trainers[arm], batch)
        return now() - started

    seconds = in_turns(ARMS, arguments.rounds, take)
    told = {arm: told_ratio(arm, seconds[arm], seconds["trl"]) for arm in ARMS if arguments.rounds}
    return {"counted": counted, "times": told}


def main(argv: list[str] | None = None) -> None:
    """Runs the benchmark."""
    parser = Options(__doc__)
    parser.add_argument("--model", type=model_there, default=SMOLLM2, help=ABOUT_MODEL)
    parser.add_argument("--data", choices=("lab", "facts"), default="lab")
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    parser.add_argument("--pairs", type=int, default=32, help="of a step")
    add_turns(parser, 5, threads=1, clock="cpu")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    name, arguments.model = arguments.model, model_of(arguments)
    found = {method: measure(method, arguments) for method in arguments.methods}
    about = {each: getattr(arguments, each) for each in ("data", "pairs", "rounds", "clock", "device", "dtype")}
    write_numbers(arguments.json, about | {"model": name, "torch": torch.__version__}, {"methods": found})


if __name__ == "__main__":
    main()

"""Does `consistency_coef` hold answers when prompts are perturbed, and does it do more than augmentation alone?

    python -m scripts.labs.consistency.lab --seeds 5 --json lab.json

The model of the ACRE lab is taught another task by demonstrations, `03203(2)`, where the index counts from the end.
Every arm of the first kind starts from it and learns from the same rows:

- `sft`: the demonstrations.
- `augmented`: the same, and four perturbed versions of each as further rows. No consistency.
- `consistency`: the demonstrations, with `consistency_coef`.

Then prompts without labels: the model of `sft` answers them greedily, and goes on from there on its own answers:

- `own_augmented`: behind the prompts, and behind four versions of each.
- `own_consistency`: behind the prompts, with `consistency_coef`.

A step reads as many rows in `augmented` as in `consistency`, where half are versions. The family `prefix` is trained
on; `suffix` and the sentences of `distractor` are not. `flip_*` is the share of held-out questions that the model
answers in other words, greedily, once they are perturbed; `right*` that of right answers. No bar: the page says what
came out.
"""

import argparse
import random
import string
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from align.evaluation.statistics.metrics import mean_over_seeds
from align.experimental.consistency.loss import before_answers
from align.experimental.consistency.rules import other_prompt
from align.experimental.consistency.sft import ConsistentSFTConfig, ConsistentSFTTrainer
from rewards.scoring.families import Family, as_family, find_families
from rewards.scoring.perturbations import Version
from scripts.harness import ON_A_CPU, Options, quiet, seeds_of, with_interval, write_numbers
from scripts.labs.acre.make import split_texts
from scripts.labs.sft.lab import MODEL, Rows, make_rows

NUM_SHOWN, NUM_UNLABELLED, NUM_HELD_OUT = 400, 400, 300
VERSIONS = 4  # of each row, in augmentation
LENGTH = 6  # tokens of an answer
ARMS = ("sft", "augmented", "consistency", "own_augmented", "own_consistency")
METRICS = (
    "right",
    "right_prefix",
    "right_suffix",
    "right_distractor",
    "flip_prefix",
    "flip_suffix",
    "flip_distractor",
)


def prefix(version: Version, rng: random.Random) -> str:
    """Puts a line of random letters before the question: the family that is trained on."""
    return "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 8))) + "\n" + version.question


def suffix(version: Version, rng: random.Random) -> str:
    """Puts a line of random letters behind the options: never trained on."""
    return version.question + "\n" + "".join(rng.choices(string.ascii_lowercase, k=rng.randint(3, 8)))


SEEN = f"{Path(__file__).resolve()}:prefix"
MEASURED = {
    "prefix": as_family(prefix),
    "suffix": as_family(suffix),
    "distractor": find_families(["distractor"])[0],
}


def perturb(rows: Rows, family: Family, seed: str) -> Rows:
    """Puts every answer behind a version of its prompt."""
    made = []
    for number, row in enumerate(rows):
        prompt = other_prompt([family], row, random.Random(f"{seed}/{number}"))
        assert isinstance(prompt, str), row
        made.append({"prompt": prompt, "completion": row["completion"]})
    return made


def train(start: Any, rows: Rows, seed: int, arguments: argparse.Namespace, **settings: Any) -> Any:
    """Trains a copy of a model and returns it."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model.load_state_dict(start.state_dict())
    trainer = ConsistentSFTTrainer(
        model,
        args=ConsistentSFTConfig(
            **{"per_device_train_batch_size": 16} | settings,
            output_dir=tempfile.mkdtemp(), max_steps=arguments.steps, learning_rate=1e-3, lr_scheduler_type="cosine",
            seed=seed, **ON_A_CPU,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=AutoTokenizer.from_pretrained(MODEL),
    )  # fmt: skip
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return trainer.model.eval()


@torch.no_grad()
def answer(model: Any, tokenizer: Any, rows: Rows) -> Tensor:
    """Writes greedy answers behind prompts of any length: `(N, LENGTH)`."""
    prompts = [tokenizer(row["prompt"])["input_ids"] for row in rows]
    starts, longest = torch.tensor([len(ids) for ids in prompts]), max(map(len, prompts))
    ids = torch.zeros(
        len(rows), longest + LENGTH, dtype=torch.long
    )  # what stands behind a place changes nothing there
    for number, prompt in enumerate(prompts):
        ids[number, : len(prompt)] = torch.tensor(prompt)
    for place in range(LENGTH):
        next_ones = before_answers(model(ids).logits, starts + place, 1).argmax(-1)
        ids.scatter_(1, (starts + place)[:, None], next_ones)
    return ids.gather(1, starts[:, None] + torch.arange(LENGTH))


def measure(model: Any, tokenizer: Any, rows: Rows, seed: int) -> dict[str, float]:
    """Compares answers to held-out questions with the right ones, and with those to their versions."""
    right = torch.tensor([tokenizer(row["completion"])["input_ids"] for row in rows])
    clean = answer(model, tokenizer, rows)
    found = {"right": (clean == right).all(1).float().mean().item()}
    for name, family in MEASURED.items():
        changed = answer(model, tokenizer, perturb(rows, family, f"measure/{seed}"))
        found[f"right_{name}"] = (changed == right).all(1).float().mean().item()
        found[f"flip_{name}"] = (changed != clean).any(1).float().mean().item()
    return found


def run_seed(seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Trains and measures every arm on the rows of one seed."""
    rng = random.Random(seed)
    shown, held_out = split_texts(rng)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    rows = make_rows(shown[:NUM_SHOWN], rng, new=True)
    unlabelled = make_rows(shown[NUM_SHOWN : NUM_SHOWN + NUM_UNLABELLED], rng, new=True)
    questions = make_rows(held_out[:NUM_HELD_OUT], rng, new=True)
    start = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    models: dict[str, Any] = {}

    def learn(arms: tuple[str, str], start: Any, rows: Rows) -> None:
        versions = [perturb(rows, MEASURED["prefix"], f"{seed}/{number}") for number in range(VERSIONS)]
        more = [*rows, *(row for version in versions for row in version)]
        models[arms[0]] = train(start, more, seed, arguments, per_device_train_batch_size=32)
        models[arms[1]] = train(
            start, rows, seed, arguments, consistency_coef=arguments.coef, consistency_families=[SEEN]
        )

    models["sft"] = train(start, rows, seed, arguments)
    learn(("augmented", "consistency"), start, rows)
    texts = tokenizer.batch_decode(answer(models["sft"], tokenizer, unlabelled))
    own = [{"prompt": row["prompt"], "completion": text} for row, text in zip(unlabelled, texts, strict=True)]
    learn(("own_augmented", "own_consistency"), models["sft"], own)
    found = {arm: measure(models[arm], tokenizer, questions, seed) for arm in ARMS}
    for arm, values in found.items():
        print(f"seed {seed}  {arm:16s} " + "  ".join(f"{name} {values[name]:.3f}" for name in METRICS), flush=True)
    return found


def words(values: list[float]) -> str:
    """Words a mean over seeds with its interval."""
    return with_interval(mean_over_seeds(values))


def main(argv: list[str] | None = None) -> int:
    """Runs the lab."""
    parser = Options(__doc__)
    parser.add_seeds(5)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--coef", type=float, default=1.0, help="`consistency_coef`")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    seeds = seeds_of(arguments)
    runs = {seed: run_seed(seed, arguments) for seed in seeds}
    for arm in ARMS:
        means = {name: words([run[arm][name] for run in runs.values()]) for name in METRICS}
        print(f"{arm:16s} " + "  ".join(f"{name} {means[name]}" for name in METRICS))
    about = {name: getattr(arguments, name) for name in ("steps", "coef", "threads")}
    write_numbers(arguments.json, about, {"runs": runs})
    return 0


if __name__ == "__main__":
    sys.exit(main())

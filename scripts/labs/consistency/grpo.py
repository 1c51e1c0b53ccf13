"""Does `consistency_coef` hold sampled answers when prompts are perturbed, beyond GRPO on perturbed prompts?

    python -m scripts.labs.consistency.grpo --seeds 5 --first_seed 0 --json lab_grpo.json

Every arm goes on from the arm `sft` of `lab.py`, with as many sampled completions, on prompts that it was
not shown; the reward is 1 for the whole right answer:

- `grpo`: the prompts.
- `augmented`: the same, half of them perturbed. No consistency.
- `consistency`: the prompts, with `consistency_coef`.
- `unlabelled`: as `consistency` with a reward that is always 0, so that nothing but consistency is learnt: prompts
  without labels, for which augmentation has nothing to offer.

The family `prefix` is trained on; `suffix` and the sentences of `distractor` are not. Quantities are those of
`lab.py`. With `--json` every seed is kept as soon as it is done, and a run that was stopped goes on behind
the last. No bar: the page says what came out.
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback

from align.errors import UserError
from align.experimental.consistency.answers import ConsistentGRPOConfig, ConsistentGRPOTrainer
from align.versions import installed_versions
from scripts.harness import ON_A_CPU, Options, quiet, seeds_of
from scripts.labs.acre.make import split_texts
from scripts.labs.consistency.lab import (
    LENGTH,
    MEASURED,
    METRICS,
    NUM_HELD_OUT,
    NUM_SHOWN,
    SEEN,
    measure,
    perturb,
    words,
)
from scripts.labs.consistency.lab import train as train_sft
from scripts.labs.sft.lab import MODEL, Rows, make_rows

NUM_PROMPTS = 400  # none of them among the demonstrations
ARMS = ("sft", "grpo", "augmented", "consistency", "unlabelled")
SETTINGS = ("sft_steps", "steps", "learning_rate", "coef", "divergence", "threads")


def whole_answer(completions: list[str], answer: list[str], **columns: Any) -> list[float]:
    """Pays for the right trace and the right letter."""
    return [float(text == right) for text, right in zip(completions, answer, strict=True)]


def nothing(completions: list[str], **columns: Any) -> list[float]:
    """Pays for nothing."""
    return [0.0] * len(completions)


def train(start: Any, rows: Rows, reward: Any, seed: int, arguments: argparse.Namespace, **settings: Any) -> Any:
    """Trains a copy of a model and returns it."""
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    model.load_state_dict(start.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        trainer = ConsistentGRPOTrainer(
            model,
            reward_funcs=[reward],
            args=ConsistentGRPOConfig(
                output_dir=folder, max_steps=arguments.steps, per_device_train_batch_size=64, num_generations=8,
                max_completion_length=LENGTH, learning_rate=arguments.learning_rate, seed=seed,
                skip_without_advantage="off", **ON_A_CPU, **settings,
            ),
            train_dataset=Dataset.from_list(
                [{"prompt": row["prompt"], "answer": row["completion"]} for row in rows]
            ),
            processing_class=AutoTokenizer.from_pretrained(MODEL, padding_side="left"),
        )  # fmt: skip
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return trainer.model.eval()


def run_seed(seed: int, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Trains and measures every arm on the rows of one seed."""
    rng = random.Random(seed)
    shown, held_out = split_texts(rng)
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    demonstrations = make_rows(shown[:NUM_SHOWN], rng, new=True)
    rows = make_rows(shown[NUM_SHOWN : NUM_SHOWN + NUM_PROMPTS], rng, new=True)
    questions = make_rows(held_out[:NUM_HELD_OUT], rng, new=True)
    base = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    short = argparse.Namespace(steps=arguments.sft_steps)
    start = train_sft(base, demonstrations, seed, short)
    versions = perturb(rows, MEASURED["prefix"], f"{seed}/0")
    mixed = [row for pair in zip(rows, versions, strict=True) for row in pair]
    own = {
        "consistency_coef": arguments.coef,
        "consistency_families": [SEEN],
        "consistency_divergence": arguments.divergence,
    }
    models = {
        "sft": start,
        "grpo": train(start, rows, whole_answer, seed, arguments),
        "augmented": train(start, mixed, whole_answer, seed, arguments),
        "consistency": train(start, rows, whole_answer, seed, arguments, **own),
        "unlabelled": train(start, rows, nothing, seed, arguments, **own),
    }
    found = {arm: measure(models[arm], tokenizer, questions, seed) for arm in ARMS}
    for arm, values in found.items():
        print(f"seed {seed}  {arm:12s} " + "  ".join(f"{name} {values[name]:.3f}" for name in METRICS), flush=True)
    return found


def read_runs(path: Path | None, settings: dict[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Reads the seeds that a stopped run has kept.

    Raises:
        UserError: If they had other settings.
    """
    if path is None or not path.is_file():
        return {}
    record = json.loads(path.read_text(encoding="utf-8"))
    kept = {name: record.get(name) for name in settings}
    if kept != settings:
        raise UserError(f"{path} has seeds with other settings, {kept}. Name another file, or remove it.")
    return dict(record["runs"])


def main(argv: list[str] | None = None) -> int:
    """Runs the lab."""
    parser = Options(__doc__)
    parser.add_seeds(5)
    parser.add_argument("--sft_steps", type=int, default=100, help="of the policy that all start from")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--learning_rate", type=float, default=3e-4)
    parser.add_argument("--coef", type=float, default=1.0, help="`consistency_coef`")
    parser.add_argument("--divergence", default="js", help="`consistency_divergence`")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    settings = {name: getattr(arguments, name) for name in SETTINGS}
    try:
        runs = read_runs(arguments.json, settings)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    seeds = [str(seed) for seed in seeds_of(arguments)]
    for seed in seeds:
        if seed in runs:
            continue
        runs[seed] = run_seed(int(seed), arguments)
        if arguments.json:
            text = json.dumps(installed_versions() | settings | {"runs": runs}, indent=1) + "\n"
            part = arguments.json.with_suffix(".part")
            part.write_text(text, encoding="utf-8")
            part.replace(arguments.json)
    for arm in ARMS:
        means = {name: words([runs[seed][arm][name] for seed in seeds]) for name in METRICS}
        print(f"{arm:12s} " + "  ".join(f"{name} {means[name]}" for name in METRICS))
    return 0


if __name__ == "__main__":
    sys.exit(main())

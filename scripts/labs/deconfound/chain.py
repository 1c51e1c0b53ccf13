"""Measures whether a policy writes better headlines after both of its recipes, where the truth is known.

    python -m scripts.labs.deconfound.chain --seeds 5 --json lab_deconfound_chain.json

A seed draws a world of its own (language, table of clicks, language model), as `make.py` does. Each arm
runs the whole chain, reward model and GRPO: on raw clicks, on clicks less the naive residual, and on corrected clicks.
Reported with Student's t intervals (95 %) over seeds: the rank correlation of the reward model with the true worth of
new headlines, and the true worth, the number of words and the share of different ones among what the policy writes.
"""

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed

from align.assets import find_recipe
from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.models.reward_model import RewardModel
from align.services.train import run as train
from scripts.harness import Options, print_table, seeds_of, with_interval, write_numbers
from scripts.labs.deconfound.make import PROMPT, REGIME
from scripts.labs.deconfound.make import main as make_lab
from scripts.labs.deconfound.world import REGIMES, WORDS_PER_HEADLINE, word_worths

ARMS = {"raw": "none", "residual": "ols", "corrected": "iv"}
NUM_TEXTS, MAX_NEW_TOKENS = 1024, 9
Numbers = dict[str, float]


def write_headlines(model: Path, seed: int) -> list[str]:
    """Samples headlines from a policy, as GRPO does."""
    set_seed(seed)
    tokenizer = AutoTokenizer.from_pretrained(model)
    policy = AutoModelForCausalLM.from_pretrained(model).eval()
    prompts = tokenizer([PROMPT] * NUM_TEXTS, return_tensors="pt")
    names = ("input_ids", "attention_mask")
    found = policy.generate(
        **{name: prompts[name] for name in names}, do_sample=True, top_k=0, max_new_tokens=MAX_NEW_TOKENS
    )
    return tokenizer.batch_decode(found[:, prompts["input_ids"].shape[1] :], skip_special_tokens=True)  # type: ignore[no-any-return]


def judge(model: Path, worths: dict[str, float], seed: int) -> Numbers:
    """Measures the first eight words of what a policy writes by the truth; other words are worth nothing."""
    written = [text.split()[:WORDS_PER_HEADLINE] for text in write_headlines(model, seed)]
    worth = [sum(worths.get(word, 0.0) for word in words) for words in written]
    different = len({" ".join(words) for words in written}) / len(written)
    return {"worth": float(np.mean(worth)), "words": float(np.mean([len(w) for w in written])), "different": different}


def rank_correlation(model: Path, known: Path) -> float:
    """Compares the scores of a reward model with the true worth of headlines."""
    with known.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    scores = RewardModel.load(model).score([PROMPT] * len(rows), [row["headline"] for row in rows])
    return float(spearmanr(scores, [float(row["worth"]) for row in rows]).statistic)


def run_seed(seed: int, regime: str, arms: Sequence[str], folder: Path) -> dict[str, Numbers]:
    """Makes the world of a seed and runs every arm in it."""
    lab = folder / "lab"
    make_lab(["--out", str(lab), "--seed", str(seed), "--regime", regime])
    worths = word_worths(REGIMES[regime], seed)
    results = {"before": judge(lab / "model", worths, seed)}
    for arm in arms:
        out = folder / arm
        started = time.perf_counter()
        for recipe, settings in overrides(lab, out, ARMS[arm], seed).items():
            train(str(find_recipe(recipe)), [f"--{name}={value}" for name, value in settings.items()], None)
        results[arm] = judge(out / "grpo", worths, seed) | {"rank": rank_correlation(out, lab / "worth.csv")}
        results[arm]["seconds"] = time.perf_counter() - started
        print(f"seed {seed} {arm}: " + "  ".join(f"{k} {v:.3f}" for k, v in results[arm].items()), flush=True)
    return results


def overrides(lab: Path, out: Path, estimator: str, seed: int) -> dict[str, dict[str, Any]]:
    """Points the shipped recipes at the world of a seed."""
    shared = {"model_name_or_path": lab / "model", "seed": seed}
    rewarding = {"dataset.path": lab / "train.csv", "dataset.eval_path": lab / "eval.csv"}
    policy = {"dataset.path": lab / "prompts.jsonl", "reward_funcs": f"[{out}]"}
    return {
        "deconfound/quickstart": shared | rewarding | {"dataset.estimator": estimator, "output_dir": out},
        "grpo/quickstart-headlines": shared | policy | {"output_dir": out / "grpo"},
    }


def show(runs: list[dict[str, Numbers]]) -> dict[str, dict[str, Estimate]]:
    """Prints means over seeds and returns them."""
    names = ("rank", "worth", "gain over raw", "words", "different", "seconds")
    columns = ("rank correlation", "true worth", "gain over raw", "words", "different texts", "seconds")
    found: dict[str, dict[str, Estimate]] = {}
    for arm in runs[0]:
        values = {name: [run[arm][name] for run in runs] for name in names if name in runs[0][arm]}
        if arm not in ("before", "raw") and "raw" in runs[0]:
            values["gain over raw"] = [run[arm]["worth"] - run["raw"]["worth"] for run in runs]
        found[arm] = {name: mean_over_seeds(value) for name, value in values.items()}
    rows = {arm: [with_interval(of[name], 2) if name in of else "" for name in names] for arm, of in found.items()}
    print_table(f"{len(runs)} worlds, {NUM_TEXTS} headlines each", columns, rows, width=150)
    return found


def main(argv: list[str] | None = None) -> None:
    """Runs the lab."""
    parser = Options(__doc__)
    parser.add_seeds(3, 11, "0 is the world the recipe was tuned on")
    parser.add_argument("--regime", choices=REGIMES, default=REGIME)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    runs = []
    for seed in seeds_of(arguments):
        with TemporaryDirectory() as folder:
            runs.append(run_seed(seed, arguments.regime, arguments.arms, Path(folder)))
    found = show(runs)
    means = {arm: {name: each._asdict() for name, each in values.items()} for arm, values in found.items()}
    about = {"first_seed": arguments.first_seed, "regime": arguments.regime}
    write_numbers(arguments.json, about, {"runs": runs, "means": means})


if __name__ == "__main__":
    main()

"""Measures whether merging undoes a shortcut: GRPO learns a position, and is merged with the policy it started from.

    python -m scripts.labs.merge.lab --seeds 5 --first_seed 5 --json lab_merge.json

Each seed trains the arm `grpo` of `labs/acre/lab.py` and merges it at each weight; all of them answer the recipe's
unbiased questions greedily. Intervals are Student's t over seeds (95 %), those of
differences over pairs with the same seed.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch
from transformers import AutoModelForCausalLM

from align.assets import find_recipe
from align.evaluation.statistics.metrics import mean_over_seeds
from align.methods.acre.trainer import ACRETrainer
from align.models.merging.merge import merge, read_alphas
from align.models.merging.parents import find_parents
from align.recipe.recipe import load_recipe
from scripts.harness import Options, seeds_of, write_numbers
from scripts.labs.acre.lab import GRPO, evaluate, tokenizer_of, train


def run_seed(seed: int, alphas: tuple[float, ...], recipe_path: Path, overrides: list[str]) -> dict[str, float]:
    """Trains with one seed and returns the accuracy at each weight."""
    words = [*overrides, *GRPO, "--seed", str(seed), "--dataset.seed", str(seed)]
    recipe = load_recipe(recipe_path, words)
    base = recipe.model.model_name_or_path
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    train(ACRETrainer, model, recipe)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        tuned = Path(folder) / "tuned"
        model.save_pretrained(tuned)
        tokenizer_of(recipe).save_pretrained(tuned)
        parents = find_parents(base, str(tuned))
        for alpha in alphas:
            place = Path(folder) / f"alpha-{alpha:g}"
            merge(parents, alpha, place)
            merged = AutoModelForCausalLM.from_pretrained(place, dtype=torch.float32)
            found[f"{alpha:g}"] = evaluate(merged, recipe)["accuracy"]
    return found


def main(argv: list[str] | None = None) -> int:
    """Runs the seeds and prints a line per weight."""
    parser = Options(__doc__, allow_abbrev=False)
    parser.add_argument("--recipe", default="acre/quickstart", help="a recipe for `method: acre` with `eval_path`")
    parser.add_argument("--alpha", nargs="+", default=["0:1:0.25"])
    parser.add_seeds(5, 5, "5 for seeds on which no setting was chosen")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_numbers()
    arguments, overrides = parser.parse_known_args(argv)
    torch.set_num_threads(arguments.threads)
    alphas = read_alphas(("0", "1", *arguments.alpha))
    seeds = seeds_of(arguments)
    runs = []
    for seed in seeds:
        runs.append(run_seed(seed, alphas, find_recipe(arguments.recipe), overrides))
        print(f"seed {seed}  " + "  ".join(f"{alpha} {value:.3f}" for alpha, value in runs[-1].items()), flush=True)
    for alpha in runs[0]:
        own = mean_over_seeds([run[alpha] for run in runs])
        base, tuned = (mean_over_seeds([run[alpha] - run[end] for run in runs]) for end in ("0", "1"))
        print(f"alpha {alpha:5s} accuracy {own}  minus base {base}  minus tuned {tuned}")
    write_numbers(arguments.json, {"seeds": list(seeds), "overrides": overrides, "runs": runs}, under="versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())

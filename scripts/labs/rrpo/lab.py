"""Measures what RRPO does to a policy on pairs that differ in short facts, against DPO and against its own parts.

    python -m scripts.labs.rrpo.lab --seeds 6 --check_bars --json lab_rrpo.json

Every arm starts from the same warm-started policy, takes the same batches and is measured along its path, on wordings
and a question that no pair has. Arms are compared where P(correct), the probability of a right fact after the right
words, first reaches 0.8 (linear between two measurements); a reward can grow without it. The arms:

    dpo         TRL's loss
    rrpo        preference on the differing spans, KL on the chosen response
    spans only  RRPO without KL
    dpo+kl      RRPO without spans
    tdpo        TDPO-2 with the paper's alpha of 0.5, on whole responses
    tuned dpo   DPO with the beta and learning rate of a grid that give the least total KL, chosen on the same seeds

KLs are forward, KL(policy before training || policy), in nats per response; "shared" leaves out the tokens of facts.
A ratio is to `dpo` with the same seed; its mean is the geometric one, its interval Student's t over seeds (95 %) on
logarithms.
"""

import copy
import math
import os
import sys
from functools import lru_cache
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.whole_files import as_json
from scripts.harness import Options, arm_runs, print_table, quiet, seeds_of, tell, write_numbers
from scripts.labs.rrpo.arms import PathCallback, train_on_pairs
from scripts.labs.rrpo.measure import HeldOut, Meter, Metrics, at_target
from scripts.labs.rrpo.world import make_rows, make_tokenizer, make_world, warm_start

TARGET = 0.8
SHARED_BAR, TOTAL_BAR = 0.75, 1.0
PAIRS_PER_NAME = 16
BATCH_SIZE = 32
MEASURE_EVERY = 4  # steps
MAX_STEPS = 400  # an arm stops at the target, most of them near step 50

WHOLE = {"spans": "whole"}
ARMS: dict[str, dict[str, Any]] = {
    "dpo": WHOLE | {"kl_coef": 0.0},
    "rrpo": {},
    "spans only": {"kl_coef": 0.0},
    "dpo+kl": WHOLE,
    "tdpo": WHOLE | {"kl_placement": "margin", "kl_coef": 0.5},
}
BETAS, LEARNING_RATES = (0.1, 0.3, 1.0), (5e-5, 1e-4, 2e-4)
GRID = {
    f"dpo, beta {beta}, lr {rate:.0e}": ARMS["dpo"] | {"beta": beta, "learning_rate": rate}
    for beta in BETAS
    for rate in LEARNING_RATES
}
RATIOS = {"kl_shared": "shared-token KL", "kl_total": "total KL", "probe_kl": "KL on prices"}
MEANS = {
    "p_correct": ("P(correct)", 2),
    "step": ("step", 1),
    "kl_shared": ("shared KL", 4),
    "kl_total": ("total KL", 3),
    "reward_accuracy": ("reward acc.", 3),
    "generation_accuracy": ("generation acc.", 3),
    "probe_kl": ("KL on prices", 4),
    "probe_p_correct": ("P(price)", 3),
    "odd_words": ("odd words", 3),
}
Runs = dict[str, list[Metrics]]  # metrics at the target per arm, one per seed


class Start(NamedTuple):
    """What every arm of a seed shares."""

    seed: int
    model: Any
    rows: list[dict[str, Any]]
    held_out: HeldOut


def prepare(seed: int) -> Start:
    """Makes the world of a seed, its pairs and the policy before training."""
    world, tokenizer = make_world(seed), make_tokenizer()
    rows, held_out = make_rows(world, PAIRS_PER_NAME, seed), HeldOut.draw(world, tokenizer, seed)
    return Start(seed, warm_start(world, tokenizer, seed), rows, held_out)


def run_arm(start: Start, settings: dict[str, Any], max_steps: int = MAX_STEPS) -> list[Metrics]:
    """Trains a copy of the policy with settings of `RRPOConfig` until it is at the target; returns its path."""
    meter = Meter(start.model, start.held_out, whole=settings.get("spans") == "whole")
    callback = PathCallback(meter, MEASURE_EVERY, TARGET)
    given = {"per_device_train_batch_size": BATCH_SIZE, "max_steps": max_steps, "max_length": 128, "seed": start.seed}
    model, tokenizer = copy.deepcopy(start.model), start.held_out.tokenizer
    return train_on_pairs(model, start.rows, tokenizer, callback, **given | settings)


def run_arms(seeds: range, arms: dict[str, dict[str, Any]]) -> tuple[Runs, dict[str, Any]]:
    """Runs every arm with every seed and prints each result; returns them at the target, and the paths."""
    paths: dict[str, list[list[Metrics]]] = {arm: [] for arm in arms}
    start = lru_cache(1)(prepare)

    def run(arm: str, seed: int) -> Metrics:
        paths[arm].append(run_arm(start(seed), arms[arm]))
        return at_target(paths[arm][-1], TARGET)

    labels = {name: label for name, (label, _) in MEANS.items()}
    return arm_runs(list(arms), seeds, run, labels), paths


def pick_tuned(grid: Runs) -> str:
    """Returns the setting with the least total KL of those that are at the target in every seed.

    Raises:
        ValueError: If there is none.
    """
    totals = {name: sum(run["kl_total"] for run in runs) for name, runs in grid.items()}
    reached = {name: total for name, total in totals.items() if not math.isnan(total)}
    if not reached:
        raise ValueError(f"No setting of the grid is at P(correct) {TARGET} in every seed: {', '.join(grid)}.")
    return min(reached, key=reached.__getitem__)


def ratio(runs: list[Metrics], baseline: list[Metrics], name: str) -> Estimate:
    """Estimates the geometric mean of a metric's ratio to the baseline's, over the seeds in which both are there."""
    pairs = [(run[name], base[name]) for run, base in zip(runs, baseline, strict=True)]
    estimate = mean_over_seeds([math.log(a / b) for a, b in pairs if not math.isnan(a + b)])
    return estimate._replace(value=math.exp(estimate.value), low=math.exp(estimate.low), high=math.exp(estimate.high))


def check_bars(runs: Runs) -> dict[str, bool]:
    """Tells which of the promises about RRPO against DPO hold; a ratio without data holds nothing."""
    shared, total = (ratio(runs["rrpo"], runs["dpo"], name).value for name in ("kl_shared", "kl_total"))
    everywhere = all(not math.isnan(run["step"]) for arm in runs.values() for run in arm)
    return {
        f"rrpo: mean ratio of shared-token KL <= {SHARED_BAR}": shared <= SHARED_BAR,
        f"rrpo: mean ratio of total KL <= {TOTAL_BAR}": total <= TOTAL_BAR,
        f"every arm is at P(correct) {TARGET} in every seed": everywhere,
    }


def show(title: str, runs: Runs, before: list[Metrics]) -> None:
    """Prints the ratios to `dpo` with intervals, and the means of everything, also `before` training."""
    ratios = {arm: [str(ratio(of_arm, runs["dpo"], name)) for name in RATIOS] for arm, of_arm in runs.items()}
    del ratios["dpo"]
    print_table(f"{title}; ratio to dpo", RATIOS.values(), ratios)
    rows = {"before training": before} | runs
    means = {arm: [_cell(of_arm, name, digits) for name, (_, digits) in MEANS.items()] for arm, of_arm in rows.items()}
    print_table(f"{title}; means at P(correct) {TARGET}", [label for label, _ in MEANS.values()], means)


def _cell(runs: list[Metrics], name: str, digits: int) -> str:
    values = [run[name] for run in runs if not math.isnan(run[name])]
    some = f" (n={len(values)})" if len(values) < len(runs) else ""
    return f"{mean_over_seeds(values).value:.{digits}f}{some}" if values else "not reached"


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds; returns 1 if a bar was to be checked and fails."""
    parser = Options(__doc__)
    parser.add_seeds(6, 0, "100-102 are those on which the setting was chosen")
    parser.add_argument("--beta", type=float, default=0.1)
    parser.add_argument("--learning_rate", type=float, default=1e-4)
    parser.add_argument("--kl_coef", type=float, default=0.01, help="of rrpo and dpo+kl")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_numbers("exit code 1 if RRPO does not keep the bars")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    quiet()
    seeds = seeds_of(arguments)
    defaults = {name: getattr(arguments, name) for name in ("beta", "learning_rate", "kl_coef")}
    arms = {arm: defaults | settings for arm, settings in ARMS.items()}
    runs, paths = run_arms(seeds, arms | {name: s for name, s in GRID.items() if s != arms["dpo"]})
    grid = {name: runs["dpo"] if settings == arms["dpo"] else runs.pop(name) for name, settings in GRID.items()}
    best = pick_tuned(grid)
    runs["tuned dpo"] = grid[best]
    show(f"Pairs with one wording; {len(seeds)} seeds", runs, [path[0] for path in paths["dpo"]])
    print(f"tuned dpo is {best!r}, of beta {BETAS} and learning rate {LEARNING_RATES}")
    record = {"runs": runs, "grid": grid, "tuned_dpo": best, "paths": paths, "bars": check_bars(runs)}
    missed = tell(record["bars"], arguments)
    about = {"defaults": defaults, "target": TARGET, "seeds": list(seeds), "threads": arguments.threads}
    write_numbers(arguments.json, about, as_json(record), under="versions")
    return missed


if __name__ == "__main__":
    sys.exit(main())

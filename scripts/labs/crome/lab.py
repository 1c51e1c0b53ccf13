"""Measures what Crome does to a reward model that can lean on decoration, over seeds and against honest controls.

    python -m scripts.labs.crome.lab --seeds 5 --check_bars --json lab_crome.json

In 85 % of the 1,500 preference pairs of the small world (`world.py`) the better answer is the decorated one.
Every arm starts from the recipe's tiny language model, takes the same number of steps of 32 pairs and is measured on
new questions. The arms:

    bt             the preference pairs, Bradley-Terry
    bt-4x          four times as many preference pairs
    rrm            and RRM's pairs: answers against foreign ones, and ties of foreign ones (arXiv 2409.13156)
    causal         and upgrades of rejected and degrades of chosen answers by the rules of the world, without ties
    neutrals       and ties: each preference pair once more under the question of another one, without edits
    crome          and both
    crome+filter   of both only the pairs of which the model of `bt` is not sure (tau 0.2)
    crome-leaky    and both, with edits of which half also touch the decoration and a fifth fail, all of them believed

Measures: accuracy where decoration speaks for the worse answer (`disagree`), for none (`clean`) and for the better one
(`agree`); the mean distance between an answer and itself decorated, relative to that of clean pairs (`decoration`);
the true quality, 0 to 3, of the best of 32 answers by reward (`best of 32`). Intervals are Student's t over seeds
(95 %), those of differences over pairs with the same seed. `--weights` sets how much
the three attributes of a question count. Everything was chosen on seeds from 100 on.
`--cue length` plants another cue, on which nothing was chosen: sentences that say nothing in place of decoration.
"""

import json
import os
import random
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch
from scipy.special import expit

from align.evaluation.statistics.metrics import Estimate
from align.models.reward_model import RewardModel
from align.services.filter import keep_unsure
from scripts.harness import (
    KeptRuns,
    Options,
    arm_runs,
    difference,
    print_table,
    quiet,
    seeds_of,
    tell,
    with_interval,
    write_numbers,
)  # fmt: skip
from scripts.labs.crome import world as crome_world
from scripts.labs.crome.arms import SETTINGS, train
from scripts.labs.crome.measure import BARS, METRICS, HeldOut, Runs, margins, mean, measure
from scripts.labs.crome.pairs import Row, causal_rows, neutral_rows, preference_rows, rrm_rows
from scripts.labs.crome.world import LeakyRules, Rules

NUM_PAIRS, MORE = 1500, 4
TAU = 0.2
ARMS = ("bt", "bt-4x", "rrm", "causal", "neutrals", "crome", "crome+filter", "crome-leaky")


class Data(NamedTuple):
    """What the arms of a seed are trained and measured on."""

    seed: int
    pairs: dict[str, list[Row]]  # per arm that does not filter
    held_out: HeldOut


def make_data(seed: int) -> Data:
    """Makes the pairs of every arm; an arm that adds pairs adds them to the same preferences."""
    many = preference_rows(seed, MORE * NUM_PAIRS)
    few = many[:NUM_PAIRS]

    def with_ties(causal: list[Row]) -> list[Row]:
        return few + causal + neutral_rows(few, few, len(few), random.Random(f"ties {seed}"))

    causal = causal_rows(few, Rules())
    pairs = {
        "bt": few,
        "bt-4x": many,
        "rrm": few + rrm_rows(few, random.Random(f"rrm {seed}")),
        "causal": few + causal,
        "neutrals": with_ties([]),
        "crome": with_ties(causal),
        "crome-leaky": with_ties(causal_rows(few, LeakyRules())),
    }
    return Data(seed, pairs, HeldOut.draw(seed))


def filter_rows(rows: list[Row], base: RewardModel) -> list[Row]:
    """Keeps the preferences, and of the pairs that were made those of which the base model is not sure."""
    made = rows[NUM_PAIRS:]
    kept = keep_unsure(expit(margins(base, made)), [row["tie"] for row in made], TAU)
    return rows[:NUM_PAIRS] + [row for row, keep in zip(made, kept, strict=True) if keep]


def run_arms(arms: Sequence[str], seeds: range, overrides: dict[str, Any], kept: Path | None = None) -> Runs:
    """Runs every arm with every seed and prints each result.

    What `kept` has of the same arm, seed and settings is not run again; what is run is added to it.
    """
    world = [crome_world.CUE, list(crome_world.WEIGHTS)]
    data = cache(make_data)
    base = cache(lambda seed: train(data(seed).pairs["bt"], seed, overrides))

    def run(name: str, seed: int) -> dict[str, float]:
        rows = data(seed).pairs[name.removesuffix("+filter")]
        if name.endswith("+filter"):
            rows = filter_rows(rows, base(seed))
        model = base(seed) if name == "bt" else train(rows, seed, overrides)
        return measure(model, data(seed).held_out) | {"pairs": len(rows)}

    def key(name: str, seed: int) -> str:
        return json.dumps([name, seed, SETTINGS | overrides, world], sort_keys=True)

    return arm_runs(arms, seeds, run, METRICS, KeptRuns(kept), key)


def show(title: str, rows: dict[str, dict[str, Estimate]], pairs: dict[str, str]) -> None:
    """Prints one line per arm."""
    cells = {
        arm: [pairs[arm], *(with_interval(estimates[name]) for name in METRICS)] for arm, estimates in rows.items()
    }
    print_table(title, ("pairs", *METRICS.values()), cells, width=150)


def report(runs: Runs, baseline: str = "bt") -> None:
    """Prints means, and differences to the baseline if it is among the arms."""
    seeds = len(next(iter(runs.values())))
    pairs = {arm: f"{mean(runs, arm, 'pairs').value:,.0f}" for arm in runs}
    means = {arm: {name: mean(runs, arm, name) for name in METRICS} for arm in runs}
    show(f"On new questions, mean over {seeds} seeds", means, pairs)
    possible = mean(runs, next(iter(runs)), "best_possible")
    print(f"The best of the answers has a quality of {with_interval(possible)}.\n")
    if baseline in runs:
        others = [arm for arm in runs if arm != baseline]
        gains = {arm: {name: difference(runs, arm, baseline, name) for name in METRICS} for arm in others}
        show(f"Difference to {baseline}", gains, pairs)


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over seeds; returns 1 if bars were to be checked and one is missed."""
    parser = Options(__doc__)
    parser.add_seeds(5, 0, "100 for seeds on which settings were chosen")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--max_steps", type=int, default=SETTINGS["max_steps"])
    parser.add_argument("--learning_rate", type=float, default=SETTINGS["learning_rate"])
    parser.add_argument("--weights", type=float, nargs=3, default=crome_world.WEIGHTS, help="of the three attributes")
    parser.add_argument("--cue", choices=("decoration", "length"), default="decoration", help="what is planted")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_numbers("exit code 1 if a bar is missed")
    parser.add_argument("--kept", type=Path, help="JSONL of arms and seeds that were run; a run that was cut goes on")
    arguments = parser.parse_args(argv)
    compared = {arm for bar in BARS for arm in (bar.arm, bar.baseline)}
    if arguments.check_bars and not compared <= set(arguments.arms):
        parser.error(f"The bars compare the arms {', '.join(sorted(compared))}; leave out --arms.")
    torch.set_num_threads(arguments.threads)
    crome_world.WEIGHTS, crome_world.CUE = tuple(arguments.weights), arguments.cue
    quiet()
    seeds = seeds_of(arguments)
    overrides = {name: getattr(arguments, name) for name in ("max_steps", "learning_rate")}
    runs = run_arms(arguments.arms, seeds, overrides, arguments.kept)
    report(runs)
    bars = dict(bar.check(runs)[::-1] for bar in BARS) if compared <= set(runs) else {}
    missed = tell(bars, arguments)
    about = {name: getattr(arguments, name) for name in ("weights", "cue", "threads")}
    about |= {"seeds": list(seeds), "settings": SETTINGS | overrides}
    write_numbers(arguments.json, about, {"runs": runs, "bars": bars}, under="versions")
    return missed


if __name__ == "__main__":
    sys.exit(main())

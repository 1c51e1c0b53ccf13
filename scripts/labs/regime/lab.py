"""Measures where a second answer pays beyond options that are shuffled: where a wrong trace leaves a letter to guess.

    python -m scripts.labs.regime.lab --kept regime.jsonl --json regime.json
    python -m scripts.labs.regime.lab --worlds hops --options 2 4 --arms grpo acre text --kept regime.jsonl

In the worlds of `worlds.py` a trace has to compute from a half-known table, a wrong trace mostly names no
option, and the policy then guesses. Every arm shows the options of a question in a new order at every visit, starts
from the same policy, and takes 80 steps of 64 completions. The arms:

    start                     the policy before RL
    grpo                      the letter as the reward
    grpo, 2.5e-4 / 1e-3       with half and twice the learning rate
    grpo, 16 generations      with 16 completions of 4 questions rather than 8 of 8
    acre                      a second answer behind other orders, coefficients (1, 0, 0)
    acre (1, .5, .2)          with other coefficients
    acre, sampled             (1, 0, 0), and the second answer is sampled
    placebo                   (1, 0, 0), and the second answer is asked for in the same order
    text                      no options: the answer is a text, `text_accuracy` the reward

Measures: how often sampled traces were right, over all steps (`traces while training`), and over the last ten; the
first step at which five in a row average 0.6; and of 200 held-out questions, greedy: right traces, right letters,
letters kept in another order, letters that are what the trace ends in. With `--hint B` the question names an option
that is right in 75 %, letters follow it with probability B at the start, and in held-out questions it is wrong.

A seed from 100 on has a start of its own; others share `--starts` of them. Intervals are Student's t over seeds
(95 %), of differences over pairs with the same seed.
"""

import json
import os
import sys
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch

from align.evaluation.statistics.metrics import mean_over_seeds
from scripts.harness import KeptRuns, Options, difference, quiet, seeds_of, with_half, write_numbers
from scripts.labs.regime.arms import ARMS, FROZEN, Metrics, Place, run_arm, start_policy
from scripts.labs.regime.worlds import WORLDS, World

METRICS = {
    "trained_trace": "traces while training",
    "late_trace": "last ten steps",
    "steps_to_reach": "steps to 0.6",
    "trace_accuracy": "trace",
    "accuracy": "letter",
    "consistency": "consistency",
    "trace_is_answer": "trace = answer",
    "wrong_names_none": "wrong and off the options",
}
LABELS = METRICS | {"tokens": "tokens"}
OWN_START = 100  # seeds from here on, on which settings were chosen
Runs = dict[str, dict[str, list[Metrics]]]  # by place and arm


class Where(NamedTuple):
    """A world, its number of options, and how strongly letters follow a hint."""

    world: str
    options: int
    hint: float

    def __str__(self) -> str:
        """Words it for a table."""
        return f"{self.world}, K = {self.options}" + (f", hint followed in {self.hint:g}" if self.hint else "")


def run_place(where: Where, arms: list[str], seeds: range, starts: int, folder: Path, kept: KeptRuns) -> Runs:
    """Runs the arms in one place with every seed and prints each result."""
    runs: dict[str, list[Metrics]] = {arm: [] for arm in arms}
    for seed in seeds:
        number = seed if seed >= OWN_START else seed % starts
        for arm in arms:
            key = json.dumps([*where, number, arm, seed, FROZEN], sort_keys=True)
            if key not in kept:
                place = Place(World.draw(where.world, number), where.options, where.hint)
                kept[key] = run_arm(arm, place, start_policy(place, number, folder), seed, {})
            metrics = kept[key]
            runs[arm].append(metrics)
            shown = ", ".join(f"{label} {metrics[name]:.3f}" for name, label in METRICS.items() if name in metrics)
            print(f"{where}  seed {seed}  {arm:20s} {shown}  ({metrics['cpu_seconds']:.0f} s)", flush=True)
    return {str(where): runs}


def report(runs: Runs) -> dict[str, dict[str, dict[str, str]]]:
    """Prints the mean of every arm, and what `acre` has more than each other; returns both as texts."""
    told: dict[str, dict[str, dict[str, str]]] = {}
    for where, arms in runs.items():
        lines = told.setdefault(where, {})
        for arm, found in arms.items():
            names = [name for name in LABELS if name in found[0]]
            lines[arm] = {name: with_half(mean_over_seeds([each[name] for each in found]), 3) for name in names}
        for arm in arms:
            if "acre" in arms and arm not in ("acre", "start"):
                lines[f"acre - {arm}"] = {name: with_half(difference(arms, "acre", arm, name), 3) for name in METRICS}
        print(f"\n{where}")
        for arm, cells in lines.items():
            print(f"  {arm:28s} " + ", ".join(f"{LABELS[name]} {text}" for name, text in cells.items()))
    return told


def main(argv: list[str] | None = None) -> int:
    """Runs the arms in every place over seeds."""
    parser = Options(__doc__)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--options", nargs="+", type=int, choices=(2, 4), default=[2], help="how many a question has")
    parser.add_argument("--hint", type=float, default=0.0, help="share of letters that follow a hint at the start")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_seeds(5, 0, "100 for seeds on which settings were chosen")
    parser.add_argument("--starts", type=int, default=3, help="start policies that seeds below 100 share")
    parser.add_argument("--starts_dir", type=Path, default=Path("outputs/acre-regime"), help="where starts are kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="JSONL of arms and seeds that were run; a run that was cut goes on")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.hint < 1:
        parser.error(f"--hint is a share of letters, from 0 to below 1; got {arguments.hint:g}.")
    if min(arguments.seeds, arguments.starts) < 1:
        parser.error("--seeds and --starts are at least 1.")
    torch.set_num_threads(arguments.threads)
    quiet()
    seeds = seeds_of(arguments)
    kept = KeptRuns(arguments.kept)
    runs: Runs = {}
    for world in arguments.worlds:
        for options in arguments.options:
            where = Where(world, options, arguments.hint)
            runs |= run_place(where, arguments.arms, seeds, arguments.starts, arguments.starts_dir, kept)
    told = report(runs)
    about = {"seeds": list(seeds), "starts": arguments.starts, "frozen": FROZEN}
    write_numbers(arguments.json, about, {"runs": runs, "told": told}, under="versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())

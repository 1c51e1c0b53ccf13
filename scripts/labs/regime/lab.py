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
letters kept in another order, letters that are what the trace ends in.

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

from scripts.harness import KeptRuns, Options, arm_runs, differences, quiet, seeds_of, show_arms, write_numbers
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
    """A world and its number of options."""

    world: str
    options: int

    def __str__(self) -> str:
        """Words it for a table."""
        return f"{self.world}, K = {self.options}"


def run_place(where: Where, arms: list[str], seeds: range, starts: int, folder: Path, kept: KeptRuns) -> Runs:
    """Runs the arms in one place with every seed and prints each result."""

    def start_of(seed: int) -> int:
        return seed if seed >= OWN_START else seed % starts

    def run(arm: str, seed: int) -> Metrics:
        place = Place(World.draw(where.world, start_of(seed)), where.options)
        return run_arm(arm, place, start_policy(place, start_of(seed), folder), seed, {})

    def key(arm: str, seed: int) -> str:
        return json.dumps([*where, start_of(seed), arm, seed, FROZEN], sort_keys=True)

    print(where)
    return {str(where): arm_runs(arms, seeds, run, METRICS, kept, key)}


def main(argv: list[str] | None = None) -> int:
    """Runs the arms in every place over seeds."""
    parser = Options(__doc__)
    parser.add_argument("--worlds", nargs="+", choices=WORLDS, default=list(WORLDS))
    parser.add_argument("--options", nargs="+", type=int, choices=(2, 4), default=[2], help="how many a question has")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_seeds(5, 0, "100 for seeds on which settings were chosen")
    parser.add_argument("--starts", type=int, default=3, help="start policies that seeds below 100 share")
    parser.add_argument("--starts_dir", type=Path, default=Path("outputs/acre-regime"), help="where starts are kept")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--kept", type=Path, help="JSONL of arms and seeds that were run; a run that was cut goes on")
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    if min(arguments.seeds, arguments.starts) < 1:
        parser.error("--seeds and --starts are at least 1.")
    torch.set_num_threads(arguments.threads)
    quiet()
    seeds = seeds_of(arguments)
    kept = KeptRuns(arguments.kept)
    runs: Runs = {}
    for world in arguments.worlds:
        for options in arguments.options:
            where = Where(world, options)
            runs |= run_place(where, arguments.arms, seeds, arguments.starts, arguments.starts_dir, kept)
    for where, arms in runs.items():
        show_arms(str(where), arms, LABELS)
        others = {arm: found for arm, found in arms.items() if arm != "start"}
        show_arms("Each arm minus acre", differences(others, "acre", METRICS), METRICS)
    about = {"seeds": list(seeds), "starts": arguments.starts, "frozen": FROZEN}
    write_numbers(arguments.json, about, {"runs": runs}, under="versions")
    return 0


if __name__ == "__main__":
    sys.exit(main())

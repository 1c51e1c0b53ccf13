"""Measures rewards that read no right answer, from starts that like a letter or do not, and behind traces of a code.

    python -m scripts.labs.labelfree.lab --seeds 5 --kept labelfree.jsonl --check_bars
    python -m scripts.labs.labelfree.lab --planted --seeds 2 --kept labelfree.jsonl
    python -m scripts.labs.labelfree.lab --told_only --kept labelfree.jsonl
    python -m scripts.labs.labelfree.lab --cost 5

Policies and questions are those of `scripts.labs.acre.make`: the right option stands at A in 75 % of the training
questions and in 25 % of the 1,000 evaluation questions. In the starts of the regime `names none` a trace says a code
for the digit, so that it names no option. Every arm takes the quickstart's steps, 100 of 16 questions and 8
completions, with its `beta` of 0.18 and rate of 3e-4:

    vote                     the group's commonest answer is the label (TTRL), options as they are
    vote, every visit        the same, options in a new order at each visit
    vote, orders in a group  every completion of the group sees an order of its own
    vote of second answers   second answers vote, each sampled behind a shuffle of its own
    follows_trace            the letter is that of the option which the trace names
    answer_agreement         the second answer, behind shuffled options, is the first
    placebo                  the same behind options that are not shuffled
    gold GRPO                the right answer, and with `gold, orders in a group` in eight orders
    gold ACRE                the quickstart's reward

`--planted` runs what agreement cannot see, `--cost` compares the CPU time of ten steps of arms that take turns.
Intervals are Student's t over starts (95 %), whose seeds are averaged, and within a start over its seeds. Runs that
`--kept` has are not run again; what is missing there is told as missing.
"""

import os
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # everything that is needed is in the repository

import torch
from transformers import AutoModelForCausalLM

from align.evaluation.statistics.metrics import mean_over_seeds
from scripts.benches.device import in_turns, told_ratio
from scripts.harness import KeptRuns, Options, print_table, quiet, seeds_of, tell, with_half, write_numbers
from scripts.labs.labelfree.arms import ARMS, Metrics, make_trainer, run_arm, start_measured
from scripts.labs.labelfree.starts import STARTS, start_policy

BEFORE = "start"
FIRST = ("vote", "vote, orders in a group", "follows_trace", "answer_agreement", "placebo", "gold ACRE")
LAST = ("vote, every visit", "vote of second answers", "gold GRPO", "gold, orders in a group")
STRESS = (("content", FIRST[2:4]), ("all A", FIRST[2:4]), ("misreader", ("agreement, no KL",)))
COSTED = ("gold GRPO", "vote", "vote, orders in a group", "follows_trace", "answer_agreement")
SHOWN = {
    "right": "right",
    "sampled": "right, sampled",
    "share_of_A": 'share of "A"',
    "orders_agree": "two orders agree",
    "trace_names_right": "trace is right",
    "learnt": "learnt",
    "corrupted": "corrupted",
}
GAIN, NEVER_BELOW, FALL, ALL_A = 0.10, -0.03, 0.20, 0.9
Runs = dict[str, dict[str, list[Metrics]]]  # by start and arm


def plan(starts: Sequence[str], arms: Sequence[str], seeds: range, few: int) -> Iterable[tuple[str, str, int]]:
    """Lists the runs, so that what is cut off has all starts and arms with fewer seeds."""
    for seed in seeds:
        for arm in arms:
            for start in starts:
                is_asked = arm != "follows_trace" or not STARTS[start].coded  # else no trace names an option
                if is_asked and (arm not in LAST or seed - seeds.start < few):
                    yield start, arm, seed


def run_all(runs: Iterable[tuple[str, str, int]], folder: Path, kept: KeptRuns, until: float) -> None:
    """Takes the runs that are not kept yet, until a time of the day in seconds."""
    for start, arm, seed in runs:
        key = f"{start}/{arm}/{seed}"
        if key in kept:
            continue
        if time.time() > until:
            return
        data = start_policy(start, folder)
        if f"{start}/{BEFORE}/0" not in kept:
            kept[f"{start}/{BEFORE}/0"] = start_measured(data).metrics
        found = kept[key] = run_arm(ARMS[arm], data, seed)
        told = ", ".join(f"{label} {found[name]:.3f}" for name, label in SHOWN.items())
        print(f"{key:40s} {told}  ({found['cpu_seconds']:.0f} CPU s)", flush=True)


def read_runs(kept: KeptRuns, starts: Sequence[str], arms: Sequence[str], seeds: range) -> Runs:
    """Collects what was run; arms without a run are left out."""
    runs: Runs = {}
    for start in starts:
        keys = {arm: [f"{start}/{arm}/{seed}" for seed in seeds] for arm in arms}
        found = {arm: [kept[key] for key in keys[arm] if key in kept] for arm in arms}
        before = f"{start}/{BEFORE}/0"
        if before in kept:
            runs[start] = {BEFORE: [kept[before]]} | {arm: each for arm, each in found.items() if each}
    return runs


def gain(runs: Runs, start: str, arm: str, metric: str = "right") -> float:
    """Averages over seeds how far an arm ends above its start."""
    found = runs[start][arm]
    return sum(run[metric] for run in found) / len(found) - runs[start][BEFORE][0][metric]


def show(runs: Runs) -> None:
    """Prints a table for each start, and the gains of each regime."""
    for start, arms in runs.items():
        cells = {
            f"{arm} ({len(found)})": [
                with_half(mean_over_seeds([run[name] for run in found])) if name in found[0] else "" for name in SHOWN
            ]
            for arm, found in arms.items()
        }
        print_table(f"{start} ({STARTS[start].regime})", SHOWN.values(), cells, "arm (seeds)")
    regimes = dict.fromkeys(STARTS[start].regime for start in runs)
    cells = {}
    for arm in dict.fromkeys(arm for arms in runs.values() for arm in arms if arm != BEFORE):
        cells[arm] = []
        for regime in regimes:
            gains = [gain(runs, each, arm) for each in runs if STARTS[each].regime == regime and arm in runs[each]]
            cells[arm].append(f"{with_half(mean_over_seeds(gains))} ({len(gains)})" if gains else "not run")
    print_table("Right answers above the start, mean over starts", [f"{each} (starts)" for each in regimes], cells)


def check_bars(runs: Runs) -> dict[str, bool]:
    """Tells which of the promises hold; an arm that was not run in a start is left out of them."""

    def having(regime: str, *arms: str) -> list[str]:
        return [each for each in runs if STARTS[each].regime == regime and set(arms) <= set(runs[each])]

    name = "answer_agreement"
    biased, unbiased = ([gain(runs, each, name) for each in having(kind, name)] for kind in ("biased", "unbiased"))
    single = [
        run["right"] - runs[each][BEFORE][0]["right"] for each in having("biased", name) for run in runs[each][name]
    ]
    bars = {
        f"biased starts: agreement ends above by {GAIN} on average": sum(biased) >= GAIN * max(len(biased), 1),
        f"biased starts: agreement never ends below by more than {-NEVER_BELOW}": min(single, default=0)
        >= NEVER_BELOW,
        f"unbiased starts: agreement ends at most {-NEVER_BELOW} below": min(unbiased, default=0) >= NEVER_BELOW,
    }
    for start in having("biased", "vote"):
        fall = gain(runs, start, "vote")
        bars[f"{start}: the vote falls by {FALL} ({fall:+.2f})"] = fall <= -FALL
    for start in [*having("biased", name, "placebo"), *having("names none", name, "placebo")]:
        if runs[start][BEFORE][0]["share_of_A"] > ALL_A:
            below = gain(runs, start, name) - gain(runs, start, "placebo")
            bars[f"{start}: the placebo ends {FALL} below agreement ({below:+.2f})"] = below >= FALL
    return bars


def cost(data: Path, rounds: int) -> dict[str, Any]:
    """Measures the CPU seconds of ten steps of some arms, which take turns, and their ratios to GRPO's."""

    def take(arm: str, number: int) -> float:
        model = AutoModelForCausalLM.from_pretrained(data, dtype=torch.float32)
        with tempfile.TemporaryDirectory() as folder:
            trainer = make_trainer(ARMS[arm], model, data, number, folder, max_steps=10)
            began = time.process_time()
            trainer.train()
        return time.process_time() - began

    seconds = in_turns(COSTED, rounds, take)
    return {arm: told_ratio(arm, seconds[arm], seconds["gold GRPO"]) for arm in COSTED}


def main(argv: list[str] | None = None) -> int:
    """Runs the arms over starts and seeds; returns 1 if a bar was to be checked and fails."""
    parser = Options(__doc__)
    parser.add_seeds(5)
    parser.add_argument("--few", type=int, default=3, help=f"seeds of {', '.join(LAST)}")
    given = [name for name, start in STARTS.items() if start.regime != "planted"]
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=given)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=[*FIRST, *LAST])
    parser.add_argument("--planted", action="store_true", help="run what agreement cannot see")
    parser.add_argument("--folder", type=Path, default=Path("outputs/labelfree"), help="where starts are kept")
    parser.add_argument("--kept", type=Path, help="JSONL of what was run; a run that was cut goes on")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after which no run begins")
    parser.add_argument("--cost", type=int, metavar="ROUNDS", help="measure what a step costs, and nothing else")
    parser.add_argument("--told_only", action="store_true", help="run nothing, tell what is kept")
    parser.add_numbers("exit code 1 if a bar is missed")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    quiet()
    if arguments.cost:
        costs = cost(start_policy(arguments.starts[0], arguments.folder), arguments.cost)
        write_numbers(arguments.json, costs, under="versions")
        return 0
    kept, seeds = KeptRuns(arguments.kept), seeds_of(arguments)
    starts, arms = arguments.starts, arguments.arms
    planned = [*plan(starts, arms, seeds, arguments.few)]
    if arguments.planted:
        starts, arms = [start for start, _ in STRESS], [*FIRST, "agreement, no KL"]
        planned = [(start, arm, seed) for seed in seeds for start, asked in STRESS for arm in asked]
    until = 0.0 if arguments.told_only else time.time() + 60 * arguments.minutes
    run_all(planned, arguments.folder, kept, until)
    runs = read_runs(kept, starts, arms, seeds)
    show(runs)
    missing = [key for key in ("/".join(map(str, each)) for each in planned) if key not in kept]
    print(f"not run: {len(missing)} of {len(planned)}" + "".join(f"\n  {key}" for key in missing))
    bars = {} if arguments.planted else check_bars(runs)
    missed = tell(bars, arguments)
    write_numbers(arguments.json, {"runs": runs, "bars": bars, "not_run": missing}, under="versions")
    return missed


if __name__ == "__main__":
    sys.exit(main())

"""Measures what is removed of numbers whose effect is no line, in three worlds where it is known.

    python -m scripts.labs.deconfound.curves --replications 25 --json lab_deconfound_curves.json

A table has 4,000 texts of a few words, one of which, `guide`, is worth 1 and is written where a confounder is high.
In `cyclic` the outcome has a sine of the hour, in `month` steps by the month of a date, and in `pair` a sine of the
hour on one of two devices only; `line` is the world that a straight line fits. Each estimator is fitted as it is and
with `curved=False`.

Reported with Student's t intervals (95 %) over replications: the distance to the oracle's reward (the outcome without
the confounders' true effect; root mean square, in deviations of the outcome), what `guide` is worth by the reward
(truth 1), and how often the 95 % interval of the slope holds the slope of the best line through the true effect
(Wilson's interval); that of a date is its trend beside hour, weekday and month, here 0.
"""

import time
import warnings
from typing import Any, NamedTuple

import numpy as np

from align.evaluation.statistics.metrics import mean_over_seeds, wilson
from align.versions import installed_version
from rewards.correction import ESTIMATORS, CorrectionWarning
from scripts.harness import Options, print_table, with_interval, write_numbers

NUM_ROWS, NUM_WORDS, NUM_AUTHORS = 4000, 200, 100
ARMS = [(name, curved) for name in ("dml", "fixed_effects", "ols") for curved in (True, False)]


class World(NamedTuple):
    """A table, the part of its outcome that is due to confounders, and the number whose slope is looked at."""

    text: list[str]
    outcome: Any
    confounders: dict[str, Any]
    effect: Any
    number: Any  # None for a date, whose trend is 0
    guide: Any
    authors: Any


def draw(name: str, seed: int) -> World:
    """Draws a world."""
    rng = np.random.default_rng([seed, 7])
    hour, mobile = rng.integers(24, size=NUM_ROWS), rng.random(NUM_ROWS) < 0.5
    fame = rng.normal(size=NUM_ROWS)
    hours = np.datetime64("2022-01-01", "h") + rng.integers(3 * 8766, size=NUM_ROWS)
    month = hours.astype("M8[M]").astype(int) % 12
    steps = np.random.default_rng([seed, 8]).normal(scale=1.5, size=12)
    sine = 2 * np.sin(2 * np.pi * (hour - 6) / 24)
    confounders, effect, number = {
        "cyclic": ({"hour": hour}, sine, hour),
        "month": ({"when": hours}, steps[month], None),
        "pair": ({"hour": hour, "device": np.where(mobile, "mobile", "desk")}, sine * mobile, hour),
        "line": ({"fame": fame}, 2 * fame, fame),
    }[name]
    guide = rng.random(NUM_ROWS) < np.where(effect > np.median(effect), 0.6, 0.25)
    words = rng.integers(NUM_WORDS, size=(NUM_ROWS, 4))
    worth = rng.normal(scale=0.15, size=NUM_WORDS)[words].sum(axis=1)
    text = [
        ("guide " if has else "") + " ".join(f"w{word}" for word in row) for has, row in zip(guide, words, strict=True)
    ]
    outcome = effect + guide + worth + rng.normal(scale=0.7, size=NUM_ROWS)
    return World(text, outcome, confounders, effect, number, guide, rng.integers(NUM_AUTHORS, size=NUM_ROWS))


def measure(world: World, name: str, curved: bool) -> dict[str, float]:
    """Fits an estimator and compares its reward with the oracle's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        groups = world.authors if name == "fixed_effects" else None
        model = ESTIMATORS[name](curved=curved).fit(world.outcome, world.confounders, text=world.text, groups=groups)
    reward = model.correct(world.outcome, world.confounders, groups=groups)
    apart = reward - (world.outcome - world.effect)
    low, high = model.correction_.intervals[0]
    slope = 0.0 if world.number is None else np.polyfit(world.number, world.effect, 1)[0]
    return {
        "distance": float(apart.std() / world.outcome.std()),
        "guide": float(np.linalg.lstsq(_design(world), reward, rcond=None)[0][-1]),
        "covers": float(low <= slope <= high),
    }


def _design(world: World) -> Any:
    """Counts the words of each text, so that `guide` is told from the others; the last column is `guide`."""
    found = np.zeros((NUM_ROWS, NUM_WORDS + 2))
    found[:, 0], found[:, -1] = 1.0, world.guide
    for row, text in enumerate(world.text):
        for word in text.removeprefix("guide ").split():
            found[row, 1 + int(word[1:])] += 1
    return found


def main(argv: list[str] | None = None) -> None:
    """Runs the lab."""
    parser = Options(__doc__)
    parser.add_argument("--replications", type=int, default=25)
    parser.add_argument("--worlds", nargs="+", default=["cyclic", "month", "pair", "line"])
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    started, record = time.perf_counter(), {}
    for name in arguments.worlds:
        runs = {arm: [measure(draw(name, seed), *arm) for seed in range(arguments.replications)] for arm in ARMS}
        rows = {}
        for (estimator, curved), found in runs.items():
            means = {key: mean_over_seeds([each[key] for each in found]) for key in ("distance", "guide")}
            covers = wilson(int(sum(each["covers"] for each in found)), len(found))
            label = estimator + ("" if curved else ", a line")
            rows[label] = [with_interval(each, 3) for each in (*means.values(), covers)]
            record[f"{name}, {label}"] = {key: each._asdict() for key, each in (means | {"covers": covers}).items()}
        print_table(name, ["distance to the oracle", "worth of guide (1)", "slope covered"], rows, "estimator", 120)
    print(f"{time.perf_counter() - started:.0f} s")
    packages = {name: installed_version(name) for name in ("numpy", "scikit-learn")}
    write_numbers(arguments.json, packages, {"rows": NUM_ROWS, "replications": arguments.replications}, record)


if __name__ == "__main__":
    main()

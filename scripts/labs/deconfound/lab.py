"""Measures how well each correction finds what headlines are worth, where the truth is known.

    python -m scripts.labs.deconfound.lab --replications 10 --check_bars --json lab_deconfound.json
    python -m scripts.labs.deconfound.lab --replications 5 --coverage_replications 200

A replication draws a language and a table of 20,000 headlines with clicks in each regime of `world.py`,
corrects the clicks, fits a reward model, and scores new headlines. Reported over replications, with Student's t
intervals (95 %): the coefficient of popularity (truth 2.5), the rank correlation of the learnt reward with the true
worth, and the true worth of the best of 16 by the learnt reward: 0 is the mean headline, 1 the best of the 16.
`--coverage_replications` counts how often the 95 % interval of the coefficient contains the truth, where the
assumptions of the estimator hold. Listed are all arms that pick worse headlines than no correction, and all that pick
worse ones than the naive residual.
"""

import math
import sys
import time
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import spearmanr

from align.evaluation.statistics.metrics import Estimate, mean_over_seeds
from align.versions import installed_version
from align.whole_files import as_json
from rewards.correction.diagnostics import additivity, rank_agreement
from scripts.harness import Options, cell, print_table, tell, write_numbers
from scripts.labs.deconfound.arms import ARMS, MORE_ARMS, Learnt, Table, make_table
from scripts.labs.deconfound.coverage import cover, coverage_rows
from scripts.labs.deconfound.world import GAMMA, REGIMES, Array, draw_world

BEST_OF = 16
NAIVE = "ols (naive residual)"
NOTHING = 0.005  # a difference of the best of 16 that is not worth a line
NUM_ROWS = 20_000
COVERAGE_SEED = 1000  # away from those on which anything was chosen
COVERAGE_LOW, COVERAGE_HIGH = 0.90, 0.99


class Result(NamedTuple):
    """What one arm reached in one replication; without an estimator there is no coefficient (nan)."""

    best_of: float
    rank_correlation: float
    coefficient: float
    standard_error: float
    estimator: str
    seconds: float


Runs = dict[str, dict[str, list[Result]]]  # per regime and arm, one per replication


def best_of_value(reward: Array, worth: Array, size: int = BEST_OF) -> float:
    """Returns the worth of the best of `size` by the reward: 0 is the mean headline, 1 the best by worth.

    Example:
        >>> best_of_value(np.array([1.0, 2.0, 0.0]), np.array([0.0, 3.0, 6.0]), size=3)
        0.0
    """
    sets = len(reward) // size
    reward, worth = (values[: sets * size].reshape(sets, size) for values in (reward, worth))
    picked = worth[np.arange(sets), reward.argmax(axis=1)].mean()
    return float((picked - worth.mean()) / (worth.max(axis=1).mean() - worth.mean()))


def measure(table: Table, arm: Any) -> tuple[Result, Learnt]:
    """Runs an arm and compares its reward with the truth."""
    started = time.perf_counter()
    learnt = arm(table)
    seconds = time.perf_counter() - started
    fitted = learnt.corrector.correction_ if learnt.corrector else None
    result = Result(
        best_of_value(learnt.reward, table.world.new_worth),
        float(spearmanr(learnt.reward, table.world.new_worth).statistic),
        fitted.coefficients[0] if fitted else math.nan,
        fitted.standard_errors[0] if fitted else math.nan,
        fitted.estimator if fitted else "",
        seconds,
    )
    return result, learnt


def diagnose(learnt: dict[str, Learnt]) -> dict[str, float]:
    """Says what the diagnostics, which do not know the truth, see in one replication."""
    dml, iv = learnt["dml"].corrector, learnt["iv"].corrector
    tests = additivity(("popularity",), dml.residuals_, dml.coef_)
    rewards = {name: learnt[name].reward for name in ("dml", "iv")}
    slopes = np.array([dml.coef_[0], iv.correction_.details["two_stage_coefficients"][0]])
    errors = [dml.correction_.standard_errors[0], iv.correction_.details["two_stage_standard_errors"][0]]
    return {
        "first_stage_f": iv.correction_.details["strength"],
        "text_r2": dml.correction_.details["text_r2"]["popularity"],
        "interaction_found": float(tests[0].p_value < 0.01),
        "iv_and_dml_differ": float(abs(slopes[0] - slopes[1]) > 3 * math.hypot(*errors)),
        "rank_agreement": float(rank_agreement(rewards).rank_correlation[0, 1]),
    }


def check_bars(runs: Runs, coverage: dict[str, Any]) -> dict[str, bool]:
    """Tells which of the promises hold; only those whose regimes were run are there."""
    bars: dict[str, bool] = {}
    for name, bound in (("entangled", 0.1), ("unobserved", 0.1), ("reacting", 0.25)):
        if name in runs:
            worst = max(abs(result.coefficient - GAMMA) for result in runs[name]["iv"])
            bars[f"{name}: |error of the coefficient| of iv <= {bound} in every replication ({worst:.3f})"] = (
                worst <= bound
            )
    for name, bound in (("entangled", 0.03), ("unobserved", 0.08)):
        if name in runs:
            gain = paired(runs[name], "iv", NAIVE).value
            bars[f"{name}: best of 16 of iv >= ols + {bound} ({gain:+.3f})"] = gain >= bound
    for arm in ("iv", "dml"):
        if "separable" in runs:
            gain = paired(runs["separable"], arm, NAIVE).value
            bars[f"separable: best of 16 of {arm} within 0.01 of ols ({gain:+.4f})"] = abs(gain) <= 0.01
    for name, found in coverage.items():
        value = found["coverage"].value
        bars[f"{name}: the 95 % interval covers in 90-99 % ({100 * value:.1f} %)"] = (
            COVERAGE_LOW <= value <= COVERAGE_HIGH
        )
    return bars


def paired(runs: dict[str, list[Result]], arm: str, baseline: str) -> Estimate:
    """Estimates the difference of two arms' best of 16 over replications."""
    pairs = zip(runs[arm], runs[baseline], strict=True)
    return mean_over_seeds([ours.best_of - theirs.best_of for ours, theirs in pairs])


def harms(runs: Runs, baseline: str) -> list[str]:
    """Lists every regime and arm that picks worse headlines than a baseline, on average or in some replication."""
    found = []
    for name, arms in runs.items():
        for arm in arms:
            if arm in ("none", NAIVE, "oracle", baseline) and (arm != NAIVE or baseline == NAIVE):
                continue
            differences = [ours.best_of - its.best_of for ours, its in zip(arms[arm], arms[baseline], strict=True)]
            if min(differences) < -NOTHING:
                mean = mean_over_seeds(differences)
                ends = "" if math.isnan(mean.low) else f" [{mean.low:+.3f}, {mean.high:+.3f}]"
                found.append(f"{name}: {arm} {mean.value:+.3f}{ends}, worst replication {min(differences):+.3f}")
    return found


def show(runs: Runs, seen: dict[str, list[dict[str, float]]]) -> None:
    """Prints a table per regime, and what the diagnostics see."""
    for name, arms in runs.items():
        rows = {}
        for arm, results in arms.items():
            worst = min(result.best_of for result in results)
            fell = sum(result.estimator == "dml" for result in results) if arm == "iv" else 0
            rows[arm + (f" (fell back in {fell})" if fell else "")] = [
                cell([result.coefficient for result in results], len(results)),
                cell([result.rank_correlation for result in results], len(results)),
                cell([result.best_of for result in results], len(results)),
                f"{worst:.3f}",
                f"{np.mean([result.seconds for result in results]):.2f}",
            ]
        columns = ["coefficient (2.5)", "rank correlation", "best of 16", "worst", "s"]
        print_table(f"{name}: {REGIMES[name].title}; {len(seen[name])} replications", columns, rows, width=150)
    names = list(next(iter(seen.values()))[0])
    rows = {name: [f"{np.mean([each[key] for each in found]):.3g}" for key in names] for name, found in seen.items()}
    columns = [name.replace("_", " ") for name in names]
    print_table("What the diagnostics see, means over replications", columns, rows, "regime", 150)


def main(argv: list[str] | None = None) -> int:
    """Runs the lab; returns 1 if a bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--replications", type=int, default=5)
    parser.add_argument("--coverage_replications", type=int, default=0)
    parser.add_argument("--first_seed", type=int, default=0, help="from 100 on are those the worlds were tuned on")
    parser.add_argument("--rows", type=int, default=NUM_ROWS)
    parser.add_argument("--regimes", nargs="+", choices=REGIMES, default=list(REGIMES))
    parser.add_numbers("exit code 1 if a bar is missed")
    arguments = parser.parse_args(argv)
    started = time.perf_counter()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.replications)
    runs: Runs = {name: {arm: [] for arm in ARMS | MORE_ARMS.get(name, {})} for name in arguments.regimes}
    seen: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.regimes}
    for seed in seeds:
        for name in arguments.regimes:
            table, learnt = make_table(draw_world(REGIMES[name], arguments.rows, seed)), {}
            for arm, results in runs[name].items():
                result, learnt[arm] = measure(table, (ARMS | MORE_ARMS.get(name, {}))[arm])
                results.append(result)
            seen[name].append(diagnose(learnt))
        print(f"seed {seed} done", flush=True)
    show(runs, seen)
    more = range(COVERAGE_SEED, COVERAGE_SEED + arguments.coverage_replications)
    coverage = cover(more, arguments.rows) if more else {}
    if coverage:
        columns = ["bias", "deviation", "mean s.e.", "coverage"]
        print_table("Coverage of the 95 % interval", columns, coverage_rows(coverage), "regime, estimator", 150)
    hurts = {baseline: harms(runs, baseline) for baseline in ("none", NAIVE)}
    for baseline, found in hurts.items():
        print(f"Best of 16 is worse than with {baseline!r} in:", *(found or ["no regime"]), sep="\n  ")
    bars = check_bars(runs, coverage)
    missed = tell(bars, arguments)
    print(f"{time.perf_counter() - started:.0f} s")
    packages = {name: installed_version(name) for name in ("statsmodels", "linearmodels", "scikit-learn")}
    about = {"rows": arguments.rows, "seeds": list(seeds), "coverage_seeds": list(more)}
    told = {name: {arm: [each._asdict() for each in of] for arm, of in arms.items()} for name, arms in runs.items()}
    record = {"runs": told, "diagnostics": seen, "coverage": coverage, "hurts": hurts, "bars": bars}
    write_numbers(arguments.json, packages, about, as_json(record))
    return missed


if __name__ == "__main__":
    sys.exit(main())

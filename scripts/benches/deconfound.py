"""Time and peak memory of the estimators against the libraries called directly, on tables of a million rows.

    python -m scripts.benches.deconfound --check_bars --json bench.json

1,000,000 rows with 10 confounders: least squares against statsmodels' `OLS`, instrumental variables (10 instruments)
against linearmodels' `IV2SLS`, and fixed effects of 100,000 groups against linearmodels' `PanelOLS`. Ours is `fit`
with its checks, intervals and first stage, a line for each confounder as in the library, which only fits. Every run is
a process of its own; time is the median over rounds, without drawing the table and importing; memory is the highest
resident set of the process, table included. The largest run of a library takes several GB.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from scripts.harness import Options, tell, write_numbers

ESTIMATORS = ("ols", "iv", "fixed_effects")
ARMS = ("ours", "library")
TIME_BAR, MEMORY_BAR, SAME_BAR = 1.2, 2e9, 1e-8
Array = np.ndarray[Any, np.dtype[Any]]
Fitted = tuple[Any, Any]  # coefficients and standard errors, `(K,)` each


def draw_table(rows: int, columns: int, groups: int) -> dict[str, Array]:
    """Draws an outcome, confounders, instruments and group labels."""
    rng = np.random.default_rng(0)
    labels = rng.integers(groups, size=rows)
    instruments, cause = rng.normal(size=(rows, columns)), rng.normal(size=rows)
    confounders = instruments + rng.normal(size=(rows, columns)) + 0.5 * cause[:, None]
    outcome = confounders @ np.linspace(-1, 1, columns) + cause + rng.normal(size=groups)[labels]
    return {"outcome": outcome, "confounders": confounders, "instruments": instruments, "groups": labels}


def fit_ours(name: str, table: dict[str, Array]) -> Fitted:
    """Fits with `rewards.correction`."""
    from rewards.correction import ESTIMATORS as MAKERS

    parts = {"ols": (), "iv": ("instruments",), "fixed_effects": ("groups",)}[name]
    fitted = MAKERS[name](curved=False).fit(
        table["outcome"], table["confounders"], **{part: table[part] for part in parts}
    )
    return fitted.correction_.coefficients, fitted.correction_.standard_errors


def fit_library(name: str, table: dict[str, Array]) -> Fitted:
    """Fits with the library, as its users would."""
    import pandas
    from linearmodels.iv import IV2SLS
    from linearmodels.panel import PanelOLS
    from statsmodels.api import OLS, add_constant

    outcome, confounders = table["outcome"], table["confounders"]
    if name == "ols":
        fitted = OLS(outcome, add_constant(confounders)).fit(cov_type="HC1")
        return fitted.params[1:], fitted.bse[1:]
    if name == "iv":
        model = IV2SLS(outcome, np.ones(len(outcome)), confounders, table["instruments"])
        fitted = model.fit(cov_type="robust", debiased=True)
        return fitted.params.to_numpy()[1:], fitted.std_errors.to_numpy()[1:]
    index = pandas.MultiIndex.from_arrays([table["groups"], np.arange(len(outcome))])
    columns = pandas.DataFrame(confounders, index)
    model = PanelOLS(pandas.Series(outcome, index), columns, entity_effects=True)
    fitted = model.fit(cov_type="clustered", cluster_entity=True, debiased=True, group_debias=True)
    return fitted.params.to_numpy(), fitted.std_errors.to_numpy()


def run_here(name: str, arm: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Runs one arm in this process."""
    warnings.simplefilter("ignore")
    table = draw_table(arguments.rows, arguments.columns, arguments.groups)
    fit = fit_ours if arm == "ours" else fit_library
    fit(name, draw_table(2000, 2, 50))  # imports are not what is measured
    started = time.perf_counter()
    coefficients, standard_errors = fit(name, table)
    seconds = time.perf_counter() - started
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    return {
        "seconds": seconds,
        "peak_bytes": peak,
        "coefficients": list(map(float, coefficients)),
        "standard_errors": list(map(float, standard_errors)),
    }


def compare(name: str, words: list[str], rounds: int) -> dict[str, Any]:
    """Compares both arms of an estimator and prints what came out."""
    runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for number in range(rounds):
        for arm in ARMS if number % 2 else reversed(ARMS):
            alone = [sys.executable, "-m", "scripts.benches.deconfound", *words, "--only", name, arm]
            done = subprocess.run(
                alone, env=os.environ | {"MALLOC_ARENA_MAX": "1"}, check=True, stdout=subprocess.PIPE
            )
            runs[arm].append(dict(json.loads(done.stdout.splitlines()[-1])))
    seconds = {arm: statistics.median(run["seconds"] for run in runs[arm]) for arm in ARMS}
    peaks = {arm: max(run["peak_bytes"] for run in runs[arm]) for arm in ARMS}
    difference = 0.0
    for part in ("coefficients", "standard_errors"):
        one, other = (np.array(runs[arm][0][part]) for arm in ARMS)
        difference = max(difference, float(np.max(np.abs(one - other) / np.maximum(np.abs(other), 1e-3))))
    for arm in ARMS:
        print(f"{name:14s} {arm:8s} {seconds[arm]:7.2f} s  {peaks[arm] / 1e9:6.2f} GB")
    ratio = seconds["ours"] / seconds["library"]
    print(f"{name:14s} ratio of the time {ratio:.3f}; largest relative difference {difference:.1e}", flush=True)
    return {
        "seconds": {arm: [run["seconds"] for run in runs[arm]] for arm in ARMS},
        "peak_bytes": peaks,
        "time_ratio": ratio,
        "difference": difference,
    }


def check_bars(results: dict[str, dict[str, Any]]) -> dict[str, bool]:
    """Tells which promises hold."""
    bars = {}
    for name, found in results.items():
        bars[f"{name}: at most {TIME_BAR} of the library's time"] = found["time_ratio"] <= TIME_BAR
        bars[f"{name}: at most {MEMORY_BAR / 1e9:g} GB"] = found["peak_bytes"]["ours"] <= MEMORY_BAR
        bars[f"{name}: the library's numbers to {SAME_BAR:g}"] = found["difference"] <= SAME_BAR
    return bars


def main(argv: list[str] | None = None) -> int:
    """Runs the benchmark; returns 1 if a bar was to be checked and is missed."""
    parser = Options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=10, help="confounders, and as many instruments")
    parser.add_argument("--groups", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_numbers("exit code 1 if a bar is missed")
    parser.add_argument("--only", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.only:
        print(json.dumps(run_here(*arguments.only, arguments)))
        return 0
    sizes = {name: getattr(arguments, name) for name in ("rows", "columns", "groups")}
    words = [word for name, size in sizes.items() for word in (f"--{name}", str(size))]
    results = {name: compare(name, words, arguments.rounds) for name in ESTIMATORS}
    bars = check_bars(results)
    missed = tell(bars, arguments)
    from align.versions import installed_version

    packages = {name: installed_version(name) for name in ("statsmodels", "linearmodels")}
    record = {"rounds": arguments.rounds, "results": results, "bars": bars}
    write_numbers(arguments.json, packages, sizes, record)
    return missed


if __name__ == "__main__":
    sys.exit(main())

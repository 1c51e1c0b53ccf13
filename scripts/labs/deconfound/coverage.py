"""The part of `lab.py` that counts how often an interval contains the truth."""

from typing import Any

import numpy as np

from align.evaluation.statistics.metrics import mean_over_seeds, wilson
from rewards.correction import DoubleML, FixedEffects, InstrumentalVariables, NaiveResidual
from scripts.labs.deconfound.arms import fit_corrector
from scripts.labs.deconfound.world import GAMMA, REGIMES, draw_world

ESTIMATORS = {"ols": NaiveResidual, "dml": DoubleML, "iv": InstrumentalVariables, "fixed effects": FixedEffects}
COLUMNS = {"ols": (), "dml": ("text",), "iv": ("text", "shock"), "fixed effects": ("text", "author")}
PASSED_AS = {"text": "text", "shock": "instruments", "author": "groups"}
COVERAGE = {  # where the assumptions hold
    "separable": ("ols", "dml", "iv"),
    "entangled": ("dml", "iv"),
    "unobserved": ("iv",),
    "reacting": ("dml", "iv"),
    "noisy": ("iv",),
    "grouped": ("fixed effects",),
}


def cover(seeds: range, num_rows: int) -> dict[str, Any]:
    """Counts how often the 95 % interval contains the truth, per regime and estimator whose assumptions hold there."""
    record: dict[str, Any] = {}
    for name, estimators in COVERAGE.items():
        errors: dict[str, list[tuple[float, float, bool]]] = {estimator: [] for estimator in estimators}
        for seed in seeds:
            world = draw_world(REGIMES[name], num_rows, seed, num_new=1)
            for estimator in estimators:
                columns = {PASSED_AS[column]: getattr(world, column) for column in COLUMNS[estimator]}
                fitted = fit_corrector(ESTIMATORS[estimator](), world, **columns).correction_
                low, high = fitted.intervals[0]
                errors[estimator].append(
                    (fitted.coefficients[0] - GAMMA, fitted.standard_errors[0], low <= GAMMA <= high)
                )
        for estimator, found in errors.items():
            error, standard_error, covers = (np.array(column) for column in zip(*found, strict=True))
            record[f"{name}, {estimator}"] = {
                "bias": mean_over_seeds(error),
                "deviation": float(error.std(ddof=1)),
                "mean_standard_error": float(standard_error.mean()),
                "coverage": wilson(int(covers.sum()), len(covers)),
            }
        print(f"coverage in {name} done", flush=True)
    return record


def coverage_rows(coverage: dict[str, Any]) -> dict[str, list[str]]:
    """Writes bias, spread, mean standard error and coverage as the cells of a table."""
    return {
        name: [
            f"{found['bias'].value:+.4f} [{found['bias'].low:+.4f}, {found['bias'].high:+.4f}]",
            f"{found['deviation']:.4f}",
            f"{found['mean_standard_error']:.4f}",
            f"{100 * found['coverage'].value:.1f} % [{100 * found['coverage'].low:.1f}, "
            f"{100 * found['coverage'].high:.1f}]",
        ]
        for name, found in coverage.items()
    }

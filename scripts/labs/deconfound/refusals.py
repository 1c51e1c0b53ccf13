"""Counts how often a sound correction is refused, and how often one that misses a curve.

    python -m scripts.labs.deconfound.refusals --replications 300 --json lab_deconfound_refusals.json

A confounder has a number of levels and half of the outcome's variance, and goes with what a text is worth. By `dml`,
`line` is a straight effect, removed as it is by default; `missed` is a sine that is removed by a line; `curve` is the
sine, removed by default: the rows that a curve takes may not be there. Reported is the share of tables without a
reward, with Wilson's interval (95 %).
"""

import time
import warnings

import numpy as np

from align.data.tables.observations import Observations
from align.errors import DataError
from align.evaluation.statistics.metrics import Estimate, wilson
from align.methods.deconfound.correction.verdict import explain, refuse_unremoved
from rewards.correction import CorrectionWarning, DoubleML
from scripts.harness import Options, print_table, with_interval, write_numbers

ROWS, LEVELS = (100, 300, 1000, 3000), (2, 5, 12, 24, 50)
CASES = {"line": (False, True), "missed": (True, False), "curve": (True, True)}  # a sine, removed by curves


def is_refused(num_rows: int, levels: int, seed: int, sine: bool, curved: bool) -> bool:
    """Draws a table, corrects it, and tells whether the reward is refused."""
    rng = np.random.default_rng([seed, num_rows, levels])
    codes = rng.permutation(np.arange(num_rows) % levels)
    effect = np.sin(2 * np.pi * codes / levels) if sine and levels > 2 else codes - codes.mean()
    effect = effect / effect.std()
    features = rng.normal(size=(num_rows, 5)) + 0.5 * effect[:, None] * np.eye(5)[0]
    outcome = effect + features @ [0.5, 0.3, 0, 0, 0] + 0.8 * rng.normal(size=num_rows)
    columns = {"c": codes + 0.5}  # no whole number, of which few are a category
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        model = DoubleML(curved=curved).fit(outcome, columns, features=features)
        rows = Observations(outcome, columns, {}, None, None, None, np.zeros(num_rows, dtype=bool))
        try:
            refuse_unremoved(model.correction_, rows, explain(model.correction_, rows, model.left_))
        except DataError:
            return True
    return False


def rate(num_rows: int, levels: int, case: str, replications: int) -> Estimate:
    """Returns the share of tables whose reward is refused."""
    found = [is_refused(num_rows, levels, seed, *CASES[case]) for seed in range(replications)]
    return wilson(sum(found), len(found))


def main(argv: list[str] | None = None) -> None:
    """Runs the lab."""
    parser = Options(__doc__)
    parser.add_argument("--replications", type=int, default=300)
    parser.add_numbers()
    arguments = parser.parse_args(argv)
    started, record = time.perf_counter(), {}
    for case in CASES:
        rows = {}
        for num_rows in ROWS:
            found = {levels: rate(num_rows, levels, case, arguments.replications) for levels in LEVELS}
            rows[f"{num_rows:,}"] = [with_interval(each, 3) for each in found.values()]
            record |= {f"{case}, {num_rows}, {levels}": each._asdict() for levels, each in found.items()}
        print_table(case, [f"{levels} levels" for levels in LEVELS], rows, "rows", 120)
    print(f"{time.perf_counter() - started:.0f} s")
    write_numbers(arguments.json, {}, {"replications": arguments.replications}, record)


if __name__ == "__main__":
    main()

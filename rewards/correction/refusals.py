"""What no estimator can work with; each refusal names the column, the rule, the value and the remedy."""

from collections.abc import Sequence

import numpy as np

from rewards.correction._moments import Array, Moments
from rewards.correction.columns import BEND, Observations

ROWS_PER_COEFFICIENT = 10
CONSTANT = 1e-13  # standard deviation per mean, some hundred steps of float64
COLLINEAR = 1e-10  # share of a column's variance that other columns leave over
SAME = 1e-12  # 1 - |correlation| of two columns that are one
SAME_IN_FLOATS = 1e-15
SPREADS = (1e-60, 1e60)  # whose ratios still have squares
COMPUTED_R2 = 0.99


def refuse_too_few_rows(num_rows: int, num_coefficients: int, what: str = "rows") -> None:
    """Raises `ValueError` for fewer than 10 rows per coefficient."""
    needed = ROWS_PER_COEFFICIENT * num_coefficients
    if num_rows < needed:
        raise ValueError(
            f"{num_coefficients} coefficients need at least {needed} {what} ({ROWS_PER_COEFFICIENT} each), got "
            f"{num_rows}. Use more rows or fewer columns."
        )


def refuse_one_group(groups: Array | None) -> None:
    """Raises `ValueError` for groups that are all the same."""
    if groups is not None and len(groups) and len(np.unique(groups)) < 2:
        raise ValueError(
            f"`groups` must hold at least two labels, got {groups[:1].tolist()[0]!r} in every row. "
            "Leave groups out, or name a column that tells rows apart."
        )


def refuse_degenerate(names: Sequence[str], kind: str, values: Moments, places: Sequence[int]) -> None:
    """Raises `ValueError` for columns that are constant, or given by each other, at places of the moments."""
    places = list(places)
    for name, deviation, mean in zip(names, values.deviations[places], values.means[places], strict=True):
        if deviation <= CONSTANT * abs(mean):
            refused = f"The {kind} {name!r} must vary, but is {mean:.6g} in every row"
            remedy = "leave it out: a constant cannot confound or instrument anything."
            if kind == "outcome":
                remedy = "name another: nothing moves what does not change."
            if deviation > SAME_IN_FLOATS * abs(mean):
                refused += f" up to {deviation:.1g}, of which rounding leaves nothing sure. Subtract a constant, or "
                raise ValueError(refused + remedy)
            raise ValueError(f"{refused}. {remedy[0].upper()}{remedy[1:]}")
        if not SPREADS[0] <= deviation <= SPREADS[1]:
            raise ValueError(
                f"The {kind} {name!r} must have a standard deviation from {SPREADS[0]:g} to {SPREADS[1]:g}, got "
                f"{deviation:.3g}. Give it in another unit."
            )
    correlation = correlations(values.cross[np.ix_(places, places)])
    weights, vectors = np.linalg.eigh(correlation)
    if len(names) and weights[0] < COLLINEAR + values.rounding[places].sum():
        involved = [name for name, part in zip(names, vectors[:, 0], strict=True) if abs(part) > 1e-3]
        raise ValueError(
            f"The {kind}s {', '.join(involved)} must not determine each other, but their correlation matrix has an "
            f"eigenvalue of {max(weights[0], 0):.1e}. Leave one of them out."
        )


def refuse_instruments(
    confounders: tuple[str, ...], instruments: tuple[str, ...], values: Moments, num_instrumented: int
) -> None:
    """Raises `ValueError` for instruments that are confounders, or too few for those that need one."""
    count = len(confounders)
    between = np.abs(correlations(values.cross)[1 : 1 + count, 1 + count :])
    blurred = values.rounding[1 : 1 + count, None] + values.rounding[None, 1 + count :]
    for row, confounder in enumerate(confounders):
        for column, instrument in enumerate(instruments):
            if confounder == instrument or between[row, column] > 1 - SAME - blurred[row, column]:
                raise ValueError(
                    f"The instrument {instrument!r} must not be a confounder, but it is the same as {confounder!r}. "
                    "An instrument moves the confounder and reaches the outcome in no other way."
                )
    if len(instruments) < num_instrumented:
        raise ValueError(
            f"{num_instrumented} confounders need as many instruments, got {len(instruments)} "
            f"({', '.join(instruments) or 'none'}). Name those that the instruments move in `instrumented`; the "
            "others are then taken to share no unobserved cause with the outcome."
        )


def refuse_given_away(names: Sequence[str], r2: Array) -> None:
    """Raises `ValueError` for a confounder that the text gives away; `r2` is the share that it predicts of each."""
    for name, share in zip(names, r2.tolist(), strict=False):
        if share > COMPUTED_R2:
            column = name.partition(" = ")[0]
            raise ValueError(
                f"The text gives {name!r} away (R² {share:.4f} > {COMPUTED_R2} out of fold), so `dml` cannot tell its "
                f"effect from that of the text. Leave {column!r} out of the confounders: what it does then counts as "
                "worth of the text. Or choose the estimator `ols`, which takes off all that goes with it."
            )


def text_warnings(sample: Observations, r2: Array | None = None) -> list[str]:
    """Lists warnings about confounders that look computed from the text; `r2` is the `(K,)` share that it predicts."""
    found = []
    for number, (name, column) in enumerate(zip(sample.confounders.names, sample.confounders.values.T, strict=True)):
        if name.startswith(BEND):
            break
        measure = _length_measure(sample, column)
        if measure:
            found.append(
                f"The confounder {name!r} is the length of the text in {measure}. It is a part of the text, so "
                "removing it also removes what length is worth; keep it out unless that is the aim."
            )
        elif r2 is not None and r2[number] > COMPUTED_R2:
            found.append(
                f"The text predicts the confounder {name!r} with R² {r2[number]:.4f} > {COMPUTED_R2}. It looks "
                "computed from the text; its effect cannot be told from that of the text."
            )
    return found


def correlations(cross: Array) -> Array:
    """Turns cross products into correlations."""
    spread = np.sqrt(np.diag(cross))
    spread = np.where(spread > 0, spread, 1.0)
    return np.asarray(cross / np.outer(spread, spread))


def _length_measure(sample: Observations, column: Array) -> str | None:
    if sample.text is None or np.ptp(column) == 0:
        return None
    measures = {
        "characters": [len(text) for text in sample.text],
        "words": [len(text.split()) for text in sample.text],
    }
    for name, lengths in measures.items():
        if np.ptp(lengths) > 0 and np.corrcoef(lengths, column)[0, 1] ** 2 > COMPUTED_R2:
            return name
    return None

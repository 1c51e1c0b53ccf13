"""What each named column explains of outcome and reward, and the refusal of a reward that still holds a confounder."""

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from align.data.tables.observations import Observations, Values
from align.errors import DataError
from align.methods.deconfound.correction.fitting import apply
from align.report.run.finding import percent
from rewards.correction import Correction, Corrector
from rewards.correction.curves import PARTS, part_of
from rewards.correction.diagnostics import beyond_chance, beyond_line, bins, explained
from rewards.correction.numeric import DAYS

NOTHING_LEFT = 1e-9  # share of the outcome's deviation
UNSURE = 0.5  # of the outcome's variance, which the error of what is subtracted may be at most
PAIR_ROWS = 20_000  # that pairs of confounders are looked at in
GIVEN_AWAY = 0.5  # share of a confounder that the text predicts, above which its effect is not sure


class Explained(NamedTuple):
    """Shares of variance that a column explains by its bins, free of what chance explains; nan where it cannot."""

    name: str
    kind: str
    line: float | None  # of the outcome, by a straight line; None but for numbers
    before: float  # of the outcome
    after: float  # of the reward
    left: float | None  # of what the text, and groups with effects, leave of the reward; None without these
    chance: float  # above which a share is beyond chance


def columns_of(correction: Correction, rows: Observations) -> dict[str, tuple[str, Any]]:
    """Returns what each named column is, and its `(N,)` values: a date has its parts beside it, a category levels."""
    columns = dict[str, tuple[str, Any]]()
    of_levels = {column: each for each in rows.categories for column in each.columns}
    for name, column in rows.confounders.items():
        if (category := of_levels.get(name)) is None:
            is_date = rows.units.get(name) == DAYS
            columns[name] = ("date" if is_date else "number", column)
            columns |= {f"{name} ({part})": ("date", part_of(column, part)) for part in PARTS if is_date}
        else:
            levels = np.stack([rows.confounders[level] for level in category.columns], axis=1)
            columns[category.name] = ("category", (levels * np.arange(1, levels.shape[1] + 1)).sum(axis=1))
    if rows.groups is not None:
        columns.setdefault(correction.details.get("columns", {}).get("groups", "groups"), ("groups", rows.groups))
    return columns


def explain(
    correction: Correction, rows: Observations, left: Values | None, outcome: str = "outcome"
) -> list[Explained]:
    """Says of every named column how much of outcome, reward and what is `left` of it, `(N,)`, it explains."""
    reward, columns = apply(correction, rows), columns_of(correction, rows)
    refuse_nothing_left(reward, rows, outcome)
    moved = correction.details.get("first_stage_f", {}) if correction.estimator == "iv" else ()
    found = []
    for name, (kind, column) in columns.items():
        line = None if kind != "number" else _by_line(rows.outcome, column)
        beyond = beyond_line(left, column) if left is not None and name in moved else left
        before, after = (explained(values, column) for values in (rows.outcome, reward))
        own = None if beyond is None else explained(beyond, column)
        found.append(Explained(name, kind, line, before, after, own, _bound(len(columns), column)))
    return found


def together(correction: Correction, rows: Observations, left: Values | None) -> list[tuple[str, str, float]]:
    """Lists two confounders that explain more of the reward (or what is `left` of it) than both alone, the most first.

    `dml` has taken off what they do together, and is passed over.
    """
    if correction.estimator in ("dml", "none"):
        return []
    thin = slice(None, None, 1 + rows.num_rows // PAIR_ROWS)
    values = (apply(correction, rows) if left is None else left)[thin]
    codes = {name: bins(each)[thin] for name, (kind, each) in columns_of(correction, rows).items() if kind != "groups"}
    alone = {name: explained(values, each) for name, each in codes.items()}
    pairs = [pair for pair in combinations(codes, 2) if len({name.partition(" (")[0] for name in pair}) > 1]
    found = []
    for one, other in pairs:
        share, bound = explained(values, codes[one], codes[other]), _bound(len(pairs), codes[one], codes[other])
        if share > alone[one] + alone[other] + bound:
            found.append((one, other, share))
    return sorted(found, key=lambda each: -each[2])


def taken_along(correction: Correction, rows: Observations, by_text: Corrector | None) -> dict[str, float]:
    """Returns how much of what texts are worth, as `dml` finds it, each column explains: `ols` takes that off, too."""
    if correction.estimator != "ols" or by_text is None or by_text.residuals_ is None:
        return {}
    worth, named = by_text.residuals_.worth(by_text.coef_), columns_of(correction, rows)
    columns = {name: column for name, (kind, column) in named.items() if kind != "groups"}
    found = {name: (explained(worth, each), _bound(len(columns), each)) for name, each in columns.items()}
    return {name: share for name, (share, bound) in found.items() if share > bound}


def _bound(num_columns: int, *columns: Any) -> float:
    """Returns the share above which `explained` by these columns is beyond chance."""
    return beyond_chance(len(columns[0]), int(bins(*columns).max()) + 1, num_columns)


def _by_line(values: Values, column: Values) -> float:
    """Returns the share that a line explains, less what chance does, as `explained` is."""
    left = beyond_line(values, column).var() * (len(values) - 1) / max(len(values) - 2, 1)
    return max(0.0, 1 - float(left / values.var())) if values.var() > 0 else 0.0


def refuse_nothing_left(reward: Values, rows: Observations, outcome: str) -> None:
    """Raises `DataError` for a reward that is the same in every row."""
    if reward.std() <= NOTHING_LEFT * rows.outcome.std():
        raise DataError(
            f"The confounders explain all of {outcome!r}: the corrected outcome is the same in every row, so "
            "there is nothing to learn. Look for a confounder that is computed from it."
        )


def refuse_unremoved(correction: Correction, rows: Observations, found: list[Explained]) -> None:
    """Raises `DataError` for a reward in which a confounder is left, or that what was subtracted made worse."""
    if correction.estimator == "none":
        return
    spread = [column.std() for column in rows.confounders.values()]
    error = float(np.linalg.norm(np.array(correction.standard_errors) * spread))
    moved, knows = correction.details.get("first_stage_f", {}), correction.details.get("text_r2", {})
    for each in found:
        if each.kind == "groups" and not correction.group_effects:
            continue
        left = each.left if each.left is not None else each.after if correction.estimator == "ols" else 0.0
        own = [share for name, share in knows.items() if name.partition(" = ")[0] == each.name]
        is_causal = correction.estimator in ("dml", "iv") and max(own, default=0.0) < GIVEN_AWAY
        is_sure = is_causal and error**2 < UNSURE * rows.outcome.var()
        remedy = f"Leave {each.name!r} out, or choose the estimator `ols`, which takes off all that goes with it."
        if left > each.chance:
            what = f"still explains {percent(left)} of the reward" + (
                " beyond the text" if each.left is not None else ""
            )
            if each.name in moved:
                what += ", by a curve, and `iv` takes off a line"
                remedy = "Choose the estimator `dml`, which takes off curves."
            elif correction.estimator == "ols" or each.kind == "number":
                remedy = (
                    f"Leave {each.name!r} out, write it as a few bands of text, such as 'morning' and 'noon', or use "
                    "more rows: a curve needs twenty for each of its bends."
                )
        elif each.after > each.before + each.chance and not is_sure:
            what = f"explains {percent(each.after)} of the reward and {percent(each.before)} of the outcome"
        else:
            continue
        raise DataError(f"After the correction {each.name!r} {what}. No reward is written. {remedy}")
    if error**2 > UNSURE * rows.outcome.var():
        worst = correction.confounders[int(np.argmax(np.array(correction.standard_errors) * spread))]
        raise DataError(
            f"What is subtracted is known to ±{error:.3g} (a standard error), and the outcome's deviation is "
            f"{rows.outcome.std():.3g}: the rows do not tell the effect of {worst!r}. No reward is written. Leave "
            f"{worst.partition(' = ')[0]!r} out, or choose the estimator `ols`."
        )

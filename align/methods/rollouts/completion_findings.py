"""What looks wrong in the completions that a run saved: groups without spread, rewards that follow length or form."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from align.report.run.completions import UNKNOWN, Row, Weights, completion_words, total_reward, trained_on
from align.report.run.finding import Finding

_FEWEST = 64  # completions, below which a rank correlation of one half happens by chance
_STRONG = 0.5
Group = list[Row]


def find_completion_problems(rows: Sequence[Row], weights: Weights = UNKNOWN) -> list[Finding]:
    """Says whether rewards follow length or form in the later half of the saved completions.

    Correlations are within groups, which is what advantages see.

    Args:
        rows: Saved completions.
        weights: Of the rewards.
    """
    groups = _late_groups(rows)
    if sum(map(len, groups)) < _FEWEST:
        return []
    rewards = [_totals(group, weights) for group in groups]
    lengths = [[float(len(completion_words(row))) for row in group] for group in groups]
    found = [_length(within_correlation(rewards, lengths))]
    names = dict.fromkeys(name for group in groups for row in group for name in trained_on(row, weights))
    for name in (name for name in names if "format" in name):
        form = [[trained_on(row, weights).get(name, 0.0) for row in group] for group in groups]
        found.append(_form(within_correlation(rewards, form), name))
    return [finding for finding in found if finding]


def spread_reasons(rows: Sequence[Row], weights: Weights = UNKNOWN) -> dict[str, float]:
    """Says why the completions of a prompt earn the same, in the later half of what was saved.

    Args:
        rows: Saved completions.
        weights: Of the rewards.

    Returns:
        Share of each reason among the groups without spread, the most frequent first; empty without such a group.
    """
    groups = _late_groups(rows)
    earned = [_totals(group, weights) for group in groups]
    best, worst = (end((end(totals) for totals in earned), default=0.0) for end in (max, min))
    flat = [(group, totals[0]) for group, totals in zip(groups, earned, strict=True) if _is_flat(totals)]
    reasons = Counter(_reason(group, total, best, worst) for group, total in flat)
    return {reason: count / reasons.total() for reason, count in reasons.most_common()}


def _late_groups(rows: Sequence[Row]) -> list[Group]:
    return [group for group in group_rows(rows[len(rows) // 2 :]) if len(group) > 1]


def group_rows(rows: Sequence[Row]) -> list[Group]:
    """Groups the completions of one prompt in one step, over which GRPO compares rewards."""
    groups: dict[tuple[Any, str], Group] = defaultdict(list)
    for row in rows:
        groups[row.get("step"), str(row.get("prompt"))].append(row)
    return list(groups.values())


def _totals(group: Group, weights: Weights) -> list[float]:
    """Returns what each completion earned; no opinion counts as 0."""
    return [total_reward(row, weights) or 0.0 for row in group]


def _is_flat(totals: Sequence[float]) -> bool:
    return max(totals) - min(totals) < 1e-9


def _reason(group: Group, total: float, best: float, worst: float) -> str:
    if len({completion_words(row) for row in group}) == 1:
        return "the same text"
    outcomes = {row.get("outcome") for row in group} - {None}
    if outcomes == {"first_only"} and total < best:
        return "right in their first answer only"
    if outcomes:
        right = {outcome in ("both", "first_only") for outcome in outcomes}
        return "all right" if right == {True} else "all wrong" if right == {False} else "mixed"
    return "all at the best reward" if total >= best else "all at the lowest reward" if total <= worst else "mixed"


def within_correlation(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> float:
    """Returns the rank correlation of two quantities after the mean of each group is taken off, or NaN.

    Example:
        >>> within_correlation([[0, 1, 2], [5, 6, 7]], [[9, 10, 11], [0, 1, 2]])
        1.0
    """
    from scipy.stats import spearmanr

    columns = [
        np.concatenate([np.asarray(group, dtype=float) - np.mean(group) for group in side]) for side in (first, second)
    ]
    if any(np.ptp(column) == 0 for column in columns):
        return float("nan")
    return round(float(spearmanr(*columns).statistic), 9)


def _length(rho: float) -> Finding | None:
    if not abs(rho) > _STRONG:
        return None
    way = "longer" if rho > 0 else "shorter"
    return Finding(
        f"Within a prompt, {way} completions earn more (rank correlation {rho:.2f})",
        "What is learnt is length. If that is not meant, take it out of the reward, or look whether right answers "
        "happen to be so: `method: deconfound` measures and removes the effect of length on a reward model.",
    )


def _form(rho: float, name: str) -> Finding | None:
    if not rho > _STRONG:
        return None
    return Finding(
        f"Within a prompt, the reward mostly follows {name} (rank correlation {rho:.2f})",
        f"The form of the answer decides more than its content. Lower the weight of `{name}` once it is learnt.",
    )

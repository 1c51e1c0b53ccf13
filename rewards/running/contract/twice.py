"""Calls that are made again before a difference is blamed on what the two calls differ in: it may have been chance."""

from collections.abc import Sequence

from rewards.running.contract.completions import write_value
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.trial import Made, Trial

CONFIDENCE = 0.95
REMEDY = "Seed a generator of its own with the row, and keep no state: groups are compared by its values."


def unless_by_chance(trial: Trial, problem: RewardProblem, made: Sequence[Made]) -> RewardProblem:
    """Makes the calls again that a problem was told from; if one turns out otherwise, that is the problem."""
    return by_chance(trial, made) or problem


def by_chance(trial: Trial, made: Sequence[Made]) -> RewardProblem | None:
    """Makes calls again as they were, and says which of them turned out otherwise."""
    for each in made:
        again = trial.call(each.samples, each.form, in_thread=each.in_thread)
        problem = again.problem or each.called.problem
        if problem is not None and not (again.problem and each.called.problem):
            return problem._replace(problem=f"{problem.problem}, in one of several equal calls")
        index = trial.difference(each.called.values, again.values)
        if index is not None:
            return not_deterministic(trial, each, index, again.values[index])
    return None


def not_deterministic(trial: Trial, made: Made, index: int, value: float | None) -> RewardProblem:
    """Says that a call made again gave another value at an index."""
    first, then = write_value(made.called.values[index]), write_value(value)
    return trial.problem("not_deterministic", f"gave {made.samples[index].name} {first} and then {then}", REMEDY)


def rarest_seen(num_compared: int) -> float:
    """Returns the share of calls in which a value has to change to be seen 95 % of the time.

    Of `m` values that were each compared with one from before, none differs with probability `(1 - p)^m`, so that
    `p = 1 - 0.05^(1/m)`.

    Example:
        >>> round(rarest_seen(148), 2)
        0.02
    """
    return float(1 - (1 - CONFIDENCE) ** (1 / num_compared)) if num_compared else 1.0

"""The suites of a policy as pure functions: from items to metrics by name.

With S samples per question the S items of a question stand next to each other, and a metric's value of the question is
the mean over those samples of which it speaks.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from align.evaluation.statistics.group_metrics import (
    accuracy_by_group,
    set_accuracy,
    spread_of_groups,
)
from align.evaluation.statistics.item_means import ItemMean, shares_of, total_variation
from align.evaluation.statistics.metrics import (
    Choice,
    Estimate,
    Values,
    accuracy,
    all_equal,
    mean_of_known,
    option_shuffle_consistency,
)
from align.evaluation.suite import Measured
from align.evaluation.suites.questions.answering import ItemResult, judged, trace_values
from rewards.reading.options import LETTERS

_RESAMPLES = 999
_ROUNDING = 1e-9


def per_question(values: Values, num_samples: int) -> Values:
    """Averages `(N * S,)` values over the S samples of each question; `nan` samples are left out.

    Example:
        >>> per_question(np.array([1.0, 0.0, np.nan, 1.0, np.nan, np.nan]), 2)
        array([0.5, 1. , nan])
    """
    return mean_of_known(values.reshape(-1, num_samples))


def accuracy_suite(items: Sequence[ItemResult], num_samples: int = 1, sets: Sequence[str | None] = ()) -> Measured:
    """Measures accuracy of `(N * S,)` results, over all questions, by group, and by `(N,)` contrast set."""
    right = per_question(correct(items), num_samples)
    answered = np.array([float(item.first_choice is not None) for item in items])
    groups = [item.group for item in items[::num_samples]]
    means = accuracy_by_group(groups, right) | {"answered": ItemMean((per_question(answered, num_samples),))}
    means |= set_accuracy(sets, groups, right)
    return Measured(means, spread_of_groups(groups, right))


def consistency_suite(
    items: Sequence[ItemResult], num_samples: int = 1, *, judge_choices: Sequence[Choice] | None = None
) -> Measured:
    """Measures whether answers survive a shuffle and follow from their traces, and how they prefer letters."""
    first, second = [item.first_choice for item in items], [item.second_choices for item in items]
    one = [None if seconds is None else seconds[:1] for seconds in second]
    values = {
        "option_shuffle_consistency_one": option_shuffle_consistency(first, one),
        "option_shuffle_consistency": option_shuffle_consistency(first, second),
        "option_shuffle_consistency_all": option_shuffle_consistency(first, second, every=True),
    }
    values |= trace_values(items)
    if judge_choices is not None:
        values |= {f"{name}/judge": each for name, each in trace_values(judged(items, judge_choices)).items()}
    means = by_question({name: ItemMean((each,)) for name, each in values.items()}, num_samples).means
    return Measured(means, letter_estimates(items, num_samples))


def rotation_suite(
    items: Sequence[ItemResult], rotation_choices: Sequence[Sequence[Choice] | None], num_samples: int = 1
) -> Measured:
    """Measures answers over all rotations of the options, where they may be moved, from the first trace."""
    robust = [
        np.nan if seconds == [] else float(seconds is not None and {item.first_choice, *seconds} == {item.gold})
        for item, seconds in zip(items, rotation_choices, strict=True)
    ]
    values = {
        "rotation_robust_accuracy": np.array(robust),
        "rotation_consistency": option_shuffle_consistency(
            [item.first_choice for item in items], rotation_choices, every=True
        ),
    }
    return by_question({name: ItemMean((each,)) for name, each in values.items()}, num_samples)


def letter_estimates(items: Sequence[ItemResult], num_samples: int = 1) -> dict[str, Estimate]:
    """Estimates `letter_bias`, see `total_variation`, and `letter_share/<letter>` with a bootstrap over questions.

    Where all resamples are equal, as for a letter that nobody answered, it allows for unseen questions, see
    `all_equal`.
    """
    first, gold = [item.first_choice for item in items], [item.gold for item in items]
    num_letters = max((choice for choice in [*first, *gold] if choice is not None), default=0) + 1
    names = [f"letter_share/{letter}" for letter in LETTERS[:num_letters]]
    if all(choice is None for choice in first):
        return {name: Estimate(np.nan, np.nan, np.nan, 0) for name in ("letter_bias", *names)}
    given, right = (_letter_counts(choices, num_letters, num_samples) for choices in (first, gold))
    num_questions = len(given)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(num_questions, np.full(num_questions, 1 / num_questions), size=_RESAMPLES)
    low, high = np.nanquantile(shares_of(drawn @ given), [0.025, 0.975], axis=0)
    bias = total_variation(given, right)
    bias = bias if bias.high > bias.low else all_equal(bias.value, num_questions)
    return {"letter_bias": bias} | {
        name: Estimate(float(value), min(float(a), float(value)), max(float(b), float(value)), num_questions)
        if b - a > _ROUNDING
        else all_equal(float(value), num_questions)
        for name, value, a, b in zip(names, shares_of(given.sum(axis=0)), low, high, strict=True)
    }


def correct(items: Sequence[ItemResult]) -> Values:
    """Returns `(N * S,)` 1 for each right answer."""
    return accuracy([item.first_choice for item in items], [item.gold for item in items])


def by_question(metrics: Mapping[str, ItemMean], num_samples: int) -> Measured:
    """Averages what is known of each item over the samples of a question."""
    return Measured(
        {
            name: ItemMean(tuple(per_question(each, num_samples) for each in metric.groups), bounds=metric.bounds)
            for name, metric in metrics.items()
        }
    )


def _letter_counts(choices: Sequence[Choice], num_letters: int, num_samples: int) -> Values:
    """Counts the letters of each question's samples, `(N, K)`."""
    rows = np.array([[float(choice == letter) for letter in range(num_letters)] for choice in choices])
    return rows.reshape(-1, num_samples, num_letters).sum(axis=1)

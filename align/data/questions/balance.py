"""Whether the right answers favour a letter, which a policy can learn instead of the questions."""

from collections.abc import Iterable
from typing import NamedTuple

from align.data.questions.multiple_choice import Question
from align.data.stored_items import values_of

MIN_EXPECTED = 5  # rows per letter below which the chi-square approximation is poor


class LetterBalance(NamedTuple):
    """How often each letter is right among the questions with the same number of options."""

    num_options: int
    counts: tuple[int, ...]  # K, from A
    p_value: float | None  # chi-square test of equal shares; None with too few rows to test

    @property
    def unbalanced(self) -> bool:
        """Whether chance would rarely (1 in 1,000) give counts this unequal."""
        return self.p_value is not None and self.p_value < 0.001


def letter_balance(questions: Iterable[Question]) -> list[LetterBalance]:
    """Counts the right letters and tests whether they are uniform, separately for each number of options.

    Returns:
        One entry for each number of options that occurs, in ascending order.
    """
    counts: dict[int, list[int]] = {}
    for options, answer in values_of(questions, "options", "answer"):
        counts.setdefault(len(options), [0] * len(options))[answer] += 1
    return [LetterBalance(k, tuple(counts[k]), _p_value(counts[k])) for k in sorted(counts)]


def _p_value(counts: list[int]) -> float | None:
    if sum(counts) < MIN_EXPECTED * len(counts):
        return None
    from scipy.special import chdtrc  # `scipy.stats` says the same and takes a second to import

    expected = sum(counts) / len(counts)
    return float(chdtrc(len(counts) - 1, sum((count - expected) ** 2 for count in counts) / expected))

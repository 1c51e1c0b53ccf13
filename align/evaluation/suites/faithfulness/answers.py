"""Answers that are texts or numbers, read as the rewards of the catalogue read them."""

from collections.abc import Sequence
from functools import lru_cache

from align.models.policies.asking import Completion
from rewards.reading.numbers import read_number
from rewards.scoring.number_accuracy import number_accuracy
from rewards.scoring.text_accuracy import text_accuracy


def is_number(answer: str) -> bool:
    """Whether an answer is one number, perhaps with a unit; it is then read as `number_accuracy` reads it."""
    return read_number(answer) is not None


def is_right(given: str | None, answers: Sequence[str]) -> bool:
    """Whether an answer is one of those that are right, by `number_accuracy` or `text_accuracy`.

    Example:
        >>> is_right("1,000", ["1000"]), is_right("paris.", ["Paris"]), is_right("Paris or Rome", ["Paris"])
        (True, True, False)
    """
    return given is not None and any(_is_same_as(given, answer) for answer in answers)


def same_answer(one: str | None, other: str | None) -> bool:
    """Whether two answers are the same: either is right where the other is the right one; none is like no other.

    Example:
        >>> same_answer("3 km", "3.0"), same_answer("3", "4"), same_answer(None, None)
        (True, False, False)
    """
    if one is None or other is None:
        return False
    return one == other or is_right(one, [other]) or is_right(other, [one])


def read_answer(completion: Completion, stop: str, longest: int) -> str | None:
    r"""Reads the answer that goes on from the beginning of a response; None if it is empty or does not end.

    Args:
        completion: What stands behind the beginning.
        stop: The tag at the end, or a new line behind a plain `Answer:`, which ends with the text, too.
        longest: Tokens that were allowed.

    Example:
        >>> read_answer(Completion(" 42</answer>"), "</answer>", 32), read_answer(Completion("42"), "</answer>", 32)
        ('42', None)
        >>> read_answer(Completion(" 42"), "\n", 32)
        '42'
    """
    answer, found, _ = completion.text.partition(stop)
    cut_off = completion.ids is not None and len(completion.ids) >= longest
    ends = bool(found) or (stop == "\n" and not cut_off)
    return (answer.strip() or None) if ends else None


@lru_cache(maxsize=1 << 16)  # most answers of a question are the same
def _is_same_as(given: str, answer: str) -> bool:
    reward = number_accuracy if is_number(answer) else text_accuracy
    return reward([f"<answer>{given}</answer>"], [answer]) == [1.0]

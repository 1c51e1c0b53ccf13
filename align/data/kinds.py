from collections.abc import Iterable
from typing import NamedTuple

from align.data.files import find_split, read_rows
from align.data.problems import RowProblem


class Kind(NamedTuple):
    """A kind of rows, named in the plural, and the columns that rows of it have."""

    name: str
    needs: tuple[str, ...]


QUESTIONS = Kind("multiple-choice questions", ("question", "options", "answer"))
REWARD_BENCH_2 = Kind("items of RewardBench 2", ("prompt", "chosen", "rejected", "num_correct"))
PAIRS = Kind("pairs", ("prompt", "chosen", "rejected"))
CANDIDATES = Kind("candidates", ("prompt", "responses"))
PROMPTS = Kind("prompts", ("prompt",))
KINDS = (QUESTIONS, REWARD_BENCH_2, PAIRS, CANDIDATES, PROMPTS)  # the first that fits


def tell_kind(columns: Iterable[str]) -> Kind | None:
    """Tells what rows with these columns are; None for none of the kinds, as the rows of a public schema may be.

    Example:
        >>> tell_kind(["id", "prompt", "answer"]).name, tell_kind(["text", "label"])
        ('prompts', None)
    """
    names = set(columns)
    if {"chosen", "rejected"} <= names and "num_correct" not in names:  # the prompt may stand in both
        return PAIRS
    return next((kind for kind in KINDS if names.issuperset(kind.needs)), None)


def first_columns(path: str, split: str | None) -> list[str]:
    """Lists the columns of the first row that can be read; none if there is none."""
    contents = (raw.content for raw in read_rows(*find_split(path, split)))
    first = next((content for content in contents if not isinstance(content, RowProblem)), {})
    return list(first)

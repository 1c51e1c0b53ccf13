"""Questions with an option that the core feature speaks for, and options that spurious ones speak for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data.problems import BadRow
from align.data.rules import check_label
from align.data.texts import fold
from align.evaluation.suite import Loaded, Reading
from align.evaluation.suites.rows import check_text, check_texts, load_suite_rows


@dataclass(frozen=True)
class CoreQuestion:
    """A question.

    Attributes:
        id: Its name, unique in the data set.
        question: As it is asked.
        core: The option that the core feature speaks for: the right one.
        spurious: Options that spurious features speak for.
        group: For metrics by group.
        row: Where it stood.
    """

    id: str
    question: str
    core: str
    spurious: tuple[str, ...]
    group: str | None
    row: int


def load(reading: Reading, options: Mapping[str, Any]) -> Loaded:
    """Loads the questions."""
    return load_suite_rows(reading, ("question", "core", "spurious"), _check)


def _check(row: Mapping[str, Any], name: str, number: int) -> CoreQuestion:
    core, spurious = check_text(row, "core", what="option"), check_texts(row, "spurious")
    if fold(core) in map(fold, spurious):
        raise BadRow("spurious", core, "a spurious option is the core one", "Leave it out of `spurious`.")
    question = check_text(row, "question", what="question")
    return CoreQuestion(name, question, core, spurious, check_label("group", row.get("group")), number)

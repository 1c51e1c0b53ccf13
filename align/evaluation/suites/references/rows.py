"""Titles of references, some of which may be invented."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data.problems import BadRow
from align.data.rules import check_label
from align.data.texts import fold
from align.errors import DataError, UserError
from align.evaluation.suite import Loaded, Reading
from align.evaluation.suites.rows import check_text, check_texts, load_suite_rows

PLACE = "{title}"


@dataclass(frozen=True)
class Reference:
    """A title.

    Attributes:
        id: Its name, unique in the data set.
        title: Of a paper or a book.
        authors: Who wrote it; empty where that is not known, or nobody did.
        group: For metrics by group; `real` and `invented` are told apart by the scores.
        row: Where it stood.
    """

    id: str
    title: str
    authors: tuple[str, ...]
    group: str | None
    row: int


def load(reading: Reading, options: Any) -> Loaded:
    """Loads the titles.

    Raises:
        DataError: If a row cannot be used, or there is one title only.
        UserError: If the prompt has no place for the title.
    """
    template = options.prompt_template
    if template is not None and template.count(PLACE) != 1:
        raise UserError(f"`prompt_template` needs {PLACE} once, got {template!r}.")
    seen: dict[str, int] = {}

    def check(row: Mapping[str, Any], name: str, number: int) -> Reference:
        title = check_text(row, "title", what="title")
        if (first := seen.setdefault(fold(title), number)) != number:
            raise BadRow("title", title, "the title is there already", f"Row {first} has it: leave one out.")
        authors = () if row.get("authors") in (None, "", []) else check_texts(row, "authors")
        return Reference(name, title, authors, check_label("group", row.get("group")), number)

    found = load_suite_rows(reading, ("title",), check)
    if len(found.rows) < 2:
        raise DataError(
            f"{reading.path} has one title that can be used, and answers are held against those about other titles. "
            "Give two at least; a hundred tell something."
        )
    return found

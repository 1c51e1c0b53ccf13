"""Reads the rows of a suite, each by the suite's own check."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from align.data.files import RawRow, Row
from align.data.loading import Schema, find_adapter, load_rows
from align.data.problems import BadRow
from align.data.question_checks import check_id
from align.data.questions.adapters import Adapter
from align.data.texts import is_blank
from align.data.unread import saying_unread
from align.evaluation.suite import LoadedRows, SuiteSource

_TRUE, _FALSE = ("true", "1", "yes"), ("false", "0", "no", "")


def load_suite_rows(
    source: SuiteSource,
    needs: tuple[str, ...],
    check: Callable[[Mapping[str, Any], str, int], Any],
    adapters: Mapping[str, Adapter] = {},
) -> LoadedRows:
    """Loads rows by `check`, which takes a row, its id and its place and returns a dataclass, or raises `BadRow`.

    The dataclass has `id`, `row` and `group`; the id is the row's own, or made of file and place.
    """
    schema = Schema(needs, find_adapter(source.adapter, adapters), adapters, columns=source.columns)

    def read(content: Row, raw: RawRow) -> Any:
        return check(content, check_id(content, raw), raw.row)

    how: Any = {name: getattr(source, name) for name in ("split", "on_bad_rows", "max_rows")}
    rows, report = saying_unread(load_rows(str(source.path), read, schema, **how))
    return LoadedRows(rows, [asdict(row) for row in rows], report.reasons, counted(row.group for row in rows))


def counted(groups: Iterable[str | None]) -> dict[str, int]:
    """Counts rows by group, in the order of their names; those without one are in none."""
    return dict(sorted(Counter(group for group in groups if group is not None).items()))


def check_text(row: Mapping[str, Any], column: str, *, what: str = "text") -> str:
    """Returns a text of a row; raises `BadRow` if it is missing or empty."""
    value = row.get(column)
    if not isinstance(value, str) or is_blank(value):
        raise BadRow(column, value, f"the {what} is missing or empty", "Write a text.")
    return value


def check_truth(row: Mapping[str, Any], column: str, remedy: str) -> bool:
    """Returns whether a row says that something is true, as tables write it; nothing is false."""
    value = row.get(column)
    text = "" if value is None else str(value).strip().lower()
    if text not in (*_TRUE, *_FALSE):
        raise BadRow(column, value, "it is neither true nor false", remedy)
    return text in _TRUE


def check_texts(row: Mapping[str, Any], column: str) -> tuple[str, ...]:
    """Returns a list of texts of a row, one text as a list; raises `BadRow` if there is none, or one is empty."""
    value = row.get(column)
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or not values:
        raise BadRow(column, value, "there are fewer than 1 texts", 'Write a list, such as ["iron", "gold"].')
    for each in values:
        if not isinstance(each, str) or is_blank(each):
            raise BadRow(column, each, "a text is missing or empty", "Write texts.")
    return tuple(values)

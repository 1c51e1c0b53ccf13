"""A row as it stands in a file, before it is understood."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from align.data.problems import RowProblem

Row = Mapping[str, Any]


class RawRow(NamedTuple):
    """One row before it is understood."""

    row: int
    content: Row | RowProblem
    untyped: bool = False  # every value is text, as in CSV

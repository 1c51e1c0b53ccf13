"""What a check says."""

from typing import Any, Literal, NamedTuple

Level = Literal["ok", "warning", "error"]


class Finding(NamedTuple):
    """One sentence about a recipe, with its numbers for `--json`."""

    level: Level
    check: str  # the part of the recipe it is about
    text: str
    numbers: dict[str, Any] = {}  # noqa: RUF012 - never mutated

"""Options that take several words: `--confounders popularity hour`, as `align train` takes lists."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from align.cli.given_words import Command


class ManyWords(Command):
    """A command whose list options take every word up to the next option; commas and repetition work, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeats the name of a list option before each of its words."""
        names = {name for option in self.params if option.multiple for name in option.opts}
        return super().parse_args(ctx, list(_repeat(names, args)))


def words(values: Iterable[str] | None) -> tuple[str, ...]:
    """Splits the values of a list option at commas, but not within the path of a folder or file that is there.

    Example:
        >>> words(["popularity,hour", "week"])
        ('popularity', 'hour', 'week')
    """
    return tuple(word for value in values or () for word in _split(value))


def _split(value: str) -> Iterator[str]:
    parts = value.split(",")
    while parts:
        size = next((many for many in range(len(parts), 1, -1) if _is_path(",".join(parts[:many]))), 1)
        if word := ",".join(parts[:size]).strip():
            yield word
        parts = parts[size:]


def _is_path(word: str) -> bool:
    """Tells whether a word is the path of something, or a function in such a file."""
    place, _, name = word.rpartition(":")
    return os.path.exists(word.strip()) or ("," not in name and os.path.exists(place.strip()))


def _repeat(names: set[str], args: list[str]) -> Iterable[str]:
    current, has_value = "", False
    for word in args:
        if word.startswith("--"):
            current, has_value = (word if word in names else ""), False
        elif current and has_value:
            yield current
        else:
            has_value = True
        yield word

"""Options that take several words: `--confounders popularity hour`, as `align train` takes lists."""

from collections.abc import Iterable
from typing import Any

from align.cli.given_words import Command


class ManyWords(Command):
    """A command whose list options take every word up to the next option; commas and repetition work, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeats the name of a list option before each of its words."""
        names = {name for option in self.params if option.multiple for name in option.opts}
        return super().parse_args(ctx, list(_repeat(names, args)))


def words(values: Iterable[str] | None) -> tuple[str, ...]:
    """Splits the values of a list option at commas.

    Example:
        >>> words(["popularity,hour", "week"])
        ('popularity', 'hour', 'week')
    """
    return tuple(word.strip() for value in values or () for word in value.split(",") if word.strip())


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

"""Errors that a user can mend; the command line prints their sentence and exits with code 1."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SAID = {"python": '`{}="{}"`', "command": "`--{} {}`", "recipe": "`dataset.on_bad_rows: skip`", "none": ""}
_asked_by: ContextVar[str] = ContextVar("asked_by", default="python")


@contextmanager
def asked_by(place: str) -> Iterator[None]:
    """Has remedies inside name a setting as it is written in `python`, on the `command` line or in a `recipe`."""
    token = _asked_by.set(place)
    try:
        yield
    finally:
        _asked_by.reset(token)


def word_setting(name: str, value: str) -> str:
    """Writes what leaves rows out as it is said where the rows are asked for; empty where nothing can say so.

    Example:
        >>> with asked_by("command"):
        ...     word_setting("on_bad_rows", "skip")
        '`--on_bad_rows skip`'
    """
    return _SAID[_asked_by.get()].format(name, value)


class UserError(ValueError):
    """Something the user wrote, named, or pointed at cannot be used as it is."""


class RecipeError(UserError):
    """A recipe, or an override of it, that cannot be run as written."""


class DataError(UserError):
    """A data set that cannot be read or used."""


class MissingColumnsError(DataError):
    """Rows that lack columns (`missing`, by our names), and have others (`names`)."""

    def __init__(self, text: str, missing: Collection[str], names: Collection[str]) -> None:
        super().__init__(text)
        self.missing, self.names = missing, names


class RunFolderError(UserError):
    """An output folder that cannot be used without losing something."""


class ServerError(UserError):
    """A server that a run needs and that cannot be reached or used."""


class RewardError(UserError):
    """Rewards that fail too often to be trained on."""

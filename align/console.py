"""The one place that makes consoles: nothing is cut off where there is no terminal."""

import logging
import os
import re
import sys
from collections.abc import Iterable
from typing import IO, Any, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from align.secrets import mask

_WIDE = 100_000  # characters of a line; a file or a pipe has no width


def make_console(*, stderr: bool = False, least: int = 0) -> Console:
    """Makes a console that masks secrets.

    On a terminal it is as wide as that is; elsewhere a line is as long as its text, without trailing spaces.

    Args:
        stderr: Whether it writes to stderr.
        least: Width of a terminal below which tables would be of no use, and are wrapped by the terminal itself.
    """
    file = cast(IO[str], _Shown(stderr))
    console = Console(file=file, highlight=False)
    if not console.is_terminal:
        return Console(file=file, highlight=False, width=_WIDE)
    return Console(file=file, highlight=False, width=max(least, console.width)) if least else console


def make_table(*columns: str, **settings: Any) -> Table:
    """Makes a table without borders whose cells fold where there is no room, so that no part of a name is lost."""
    table = Table(**{"box": None, "pad_edge": False} | settings)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def print_table(columns: Iterable[str], rows: Iterable[Iterable[str]], *, least: int = 100) -> None:
    """Prints rows of plain words, on a line of at least so many characters."""
    table = make_table(*columns)
    for row in rows:
        table.add_row(*map(Text, row))
    make_console(least=least).print(table)


def say(text: str) -> None:
    """Prints a sentence on stderr, once for all processes of a run."""
    if os.environ.get("RANK", "0") == "0":
        sys.stderr.write(f"{mask(text)}\n")  # a progress bar may have replaced it, to write above itself


def mask_logs(*loggers: str) -> None:
    """Masks secrets in what libraries log to the console, such as a row of the data that a trainer warns about."""
    handlers = [handler for name in ("", *loggers) for handler in logging.getLogger(name).handlers]
    for handler in [*handlers, *([logging.lastResort] if logging.lastResort else [])]:
        if _mask_record not in handler.filters:
            handler.addFilter(_mask_record)


def _mask_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = mask(record.getMessage()), None
    return True


class _Shown:
    """The stream as it is when something is written, for what rich asks of a file."""

    def __init__(self, stderr: bool) -> None:
        self._name = "stderr" if stderr else "stdout"

    def write(self, text: str) -> int:
        """Writes without trailing spaces, which tables have, and without secrets."""
        stream = self._stream()
        if not stream.isatty():
            text = re.sub(r"[ \t]+(?=\n)", "", text)
        stream.write(mask(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        """Looks up everything else on the stream."""
        if name == "rich_proxied_file":  # rich would write past this
            raise AttributeError(name)
        return getattr(self._stream(), name)

    def _stream(self) -> Any:
        stream = getattr(sys, self._name)
        return getattr(stream, "rich_proxied_file", stream)  # a progress bar writes to what it replaced

"""What every command runs in: streams whose reader may leave, and errors of files as a sentence."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

REMEDIES = {
    errno.ENOTDIR: "A part of the path is a file: choose another.",
    errno.EEXIST: "Choose another path.",
    errno.EISDIR: "Name a file in it.",
    errno.ENOENT: "Check the name.",
    errno.EACCES: "Choose another path, or change who may use it.",
    errno.EPERM: "Choose another path, or change who may use it.",
    errno.EROFS: "Choose another path.",
    errno.ELOOP: "Links lead in a circle there: choose another path.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.ENOSPC: "Free space there, and give the same command again.",
    errno.EDQUOT: "Free space there, and give the same command again.",
    errno.EFBIG: "Raise the limit of a file's size (`ulimit -f`), or choose a place without a quota.",
}


def word_file_error(error: OSError) -> str | None:
    """Words what the system said of a file, with the place in our code for a report; None of other errors.

    Example:
        >>> word_file_error(NotADirectoryError(errno.ENOTDIR, "Not a directory", "page.html/x"))
        'page.html/x: Not a directory. A part of the path is a file: choose another.'
    """
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None or (error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)):
        return None
    name = "" if error.filename is None else f"{error.filename}: "
    return f"{name}{error.strerror}. {remedy}{_place(error)}"


def _place(error: OSError) -> str:
    """Says which of our lines the error came through last."""
    package, found, trace = str(Path(__file__).parents[1]), "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code.co_filename
        if code.startswith(package) and not code.endswith(("application.py", "process.py")):
            found = f" (align{code.removeprefix(package)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found


def outlast_readers() -> None:
    """Has stdout and stderr write into nothing once they are closed: by the shell, by `| head`, by a hung up line."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        setattr(sys, name, open(os.devnull, "w") if stream is None else _Lasting(stream))  # noqa: SIM115


class _Lasting:
    """A stream whose reader may leave."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        try:
            return int(self._stream.write(text))
        except OSError as error:
            self._let_go(error)
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError as error:
            self._let_go(error)

    def _let_go(self, error: OSError) -> None:
        """Puts nothing in the place of the pipe, for what is buffered, for libraries and for processes to come."""
        if error.errno not in (errno.EPIPE, errno.EIO):  # the second of a terminal
            raise error
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

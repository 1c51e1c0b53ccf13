"""Errors of files and folders that no command words itself, as a sentence."""

import errno
from pathlib import Path

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
}


def word_file_error(error: OSError) -> str | None:
    """Words what the system said of a file, with the place in our code for a report; None of other errors.

    Example:
        >>> word_file_error(NotADirectoryError(errno.ENOTDIR, "Not a directory", "page.html/x"))
        'page.html/x: Not a directory. A part of the path is a file: choose another.'
    """
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None or (error.filename is None and error.errno not in (errno.ENOSPC, errno.EDQUOT)):
        return None
    name = "" if error.filename is None else f"{error.filename}: "
    return f"{name}{error.strerror}. {remedy}{_place(error)}"


def _place(error: OSError) -> str:
    """Says which of our lines the error came through last."""
    package, found, trace = str(Path(__file__).parents[1]), "", error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code.co_filename
        if code.startswith(package) and not code.endswith(("application.py", "lasting_streams.py")):
            found = f" (align{code.removeprefix(package)}, line {trace.tb_lineno})"
        trace = trace.tb_next
    return found

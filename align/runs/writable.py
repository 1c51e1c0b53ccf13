"""Whether a command may write where it was told to, said before it works for what it would write."""

import os
from pathlib import Path

from align.errors import UserError
from align.runs.room import existing


def check_writable(folder: Path, option: str) -> None:
    """Refuses a folder that cannot be made, or may not be written into; nothing is made.

    Args:
        folder: Where files are to go.
        option: As it was given on the command line.

    Raises:
        UserError: With the part of the path that is in the way.
    """
    place = existing(folder)
    if not place.is_dir():
        raise UserError(
            f"`{option}` needs a folder, and {place} is a file. Choose another place. Nothing was written."
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"`{option}` may not be written: {place} is read-only. Choose another place.")

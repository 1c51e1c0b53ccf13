"""Room on the disk for what is to be written: whether it may be, what checkpoints take, what is missing."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from align.errors import RunFolderError, UserError

GIB, MIB = 2**30, 2**20


def free_bytes(folder: Path) -> int:
    """Counts the bytes that are free where a folder is, or would be made; raises `OSError` if none may look there."""
    return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Finds the nearest folder above that exists."""
    return next(path for path in (folder, *folder.absolute().parents) if path.exists())


def check_writable(folder: Path, option: str) -> None:
    """Refuses a folder that cannot be made, or may not be written into; nothing is made."""
    place = existing(folder)
    if not place.is_dir():
        raise UserError(
            f"`{option}` needs a folder, and {place} is a file. Choose another place. Nothing was written."
        )
    if not os.access(place, os.W_OK | os.X_OK):
        raise UserError(f"`{option}` may not be written: {place} is read-only. Choose another place.")


def size_of(folder: Path) -> int:
    """Counts the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def words(size: float) -> str:
    """Says a number of bytes: `1.5 GiB`, `12.0 MiB`."""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def no_room(folder: Path, needed: int, free: int, what: str, whole: Sequence[str] = ()) -> RunFolderError:
    """Makes the sentence about a disk that is too full for what is to be written."""
    return RunFolderError(
        f"{folder} has {words(free)} free, and {what} takes about {words(needed)}. Free room, lower "
        f"`save_total_limit`, or choose another `--output_dir`.{_left(whole)}"
    )


def at_limit(folder: Path, free: int, why: str, whole: Sequence[str] = ()) -> RunFolderError:
    """Makes the sentence about a limit that ends a write where the disk has room."""
    return RunFolderError(
        f"A file in {folder} could not be written to its end ({why}), and its disk has {words(free)} free: a quota, "
        f"or the limit of a file's size (`ulimit -f`), is reached. Raise it, lower `save_total_limit`, or choose "
        f"another `--output_dir`.{_left(whole)}"
    )


def _left(whole: Sequence[str]) -> str:
    return f" The last whole checkpoint is {whole[0]}: `--resume auto` goes on from it." if whole else ""

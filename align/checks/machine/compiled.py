"""What DeepSpeed has compiled on this machine, and locks of compilations that were killed."""

import os
import time
from pathlib import Path

from align.checks.finding import Finding

_STALE = 600.0  # seconds; compiling takes one to three minutes
_FOLDER = Path("~/.cache/torch_extensions")


def extension_folders() -> list[Path]:
    """Lists the folders into which torch compiles operators, one per operator."""
    given = os.environ.get("TORCH_EXTENSIONS_DIR")
    # Without the variable torch puts a folder per version of Python and CUDA in between.
    places = Path(given).glob("*") if given else _FOLDER.expanduser().glob("*/*")
    return sorted(place for place in places if place.is_dir())


def stale_locks() -> list[Path]:
    """Lists locks that no compilation can still hold: whoever finds one waits for it for ever, without a word."""
    locks = [folder / "lock" for folder in extension_folders()]
    return [lock for lock in locks if lock.is_file() and time.time() - lock.stat().st_mtime > _STALE]


def check_locks() -> list[Finding]:
    """Names each such lock, and the line that removes it."""
    return [
        Finding(
            "warning",
            "deepspeed",
            f"{lock} is {(time.time() - lock.stat().st_mtime) / 60:.0f} minutes old: a compilation was killed, and "
            "every later start waits for it without a word.",
            fix=f"rm {lock}",
        )
        for lock in stale_locks()
    ]


def has_compiled() -> bool:
    """Tells whether any operator is there, so that a start need not compile."""
    return any(any(folder.glob("*.so")) for folder in extension_folders())

"""Whether the folders that a run writes to can be written and have room, and what DeepSpeed compiled into them."""

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

from align.checks.finding import Finding
from align.checks.machine.devices import GIB

_LEAST_OUTPUT, _LEAST_CACHE = 10.0, 20.0  # GiB: a checkpoint of 1B parameters with AdamW's moments; a 7B model in bf16
_TRIAL = 2**20  # bytes


def check_folders(output_dir: Path) -> list[Finding]:
    """Writes and deletes a megabyte where checkpoints and downloaded models go."""
    found = [check_folder(output_dir, "output folder", _LEAST_OUTPUT, "align doctor --output_dir /path/with/room")]
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:  # which the packages say
        return found
    return [*found, check_folder(Path(HF_HUB_CACHE), "model cache", _LEAST_CACHE, "export HF_HOME=/path/with/room")]


def check_folder(folder: Path, name: str, least_gib: float, instead: str) -> Finding:
    """Tries to write into a folder, or the nearest one above it; below `least_gib` free space there is a warning."""
    place = folder.expanduser().absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_TRIAL))
            file.flush()
    except OSError as error:
        return _refused(folder, place, name, error, instead)
    free = shutil.disk_usage(place).free
    text = f"The {name} {folder} can be written; {free / GIB:.1f} GiB are free."
    numbers = {"path": str(folder), "free_bytes": free}
    if free < least_gib * GIB:
        text += f" Below {least_gib:.0f} GiB a run may stop while it saves. Free some, or use another disk:"
        return Finding("warning", "disk", text, numbers, instead)
    return Finding("ok", "disk", text, numbers)


def _refused(folder: Path, place: Path, name: str, error: OSError, instead: str) -> Finding:
    numbers = {"path": str(folder), "error": errno.errorcode.get(error.errno or 0, "")}
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"The disk of the {name} {folder} is full ({error.strerror}). See what fills it, or use another disk:"
        return Finding("error", "disk", text, numbers, f"du -xh -d 2 {place} | sort -h | tail")
    text = f"The {name} {folder} cannot be written: {place}: {error.strerror}. Use another:"
    return Finding("error", "disk", text, numbers, instead)


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

"""One owner of a run folder, so that two runs never mix their logs and checkpoints."""

import os
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import psutil
from filelock import LeaseCompromise, LeaseSettingsMismatch, OwnerRecord, SoftFileLease, Timeout

from align.console import say
from align.errors import RunFolderError
from align.recipe.problems import shown

LOCK = ".owner"
# An owner on this host is known to be gone by its process id and start; one on another host by its silence.
LEASE_SECONDS = 60.0
_TORN_SECONDS = 4.0  # after which the library takes over a note that was not written to its end, 2, and some polling


@contextmanager
def owned(folder: Path) -> Iterator[str]:
    """Holds a run folder for this process; what is left of an owner that is gone is taken over.

    A folder that this made, and in which nothing was written, is removed again. Yields a token of this hold, which
    another host reads in the same folder if it sees it.
    """
    try:
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        is_file = not made and not folder.is_dir()
    except OSError as error:  # a name that no file can have, or a folder that nobody may look into
        raise _unusable(folder, error) from error
    if is_file:
        raise RunFolderError(f"{folder} is a file. Choose a folder with `--output_dir`. Nothing was written.")
    lease = SoftFileLease(folder / LOCK, lease_duration=LEASE_SECONDS, on_compromise=_end)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _acquire(lease, folder)
    except OSError as error:
        raise _unusable(folder, error) from error
    try:
        yield lease.token or ""
    finally:
        lease.release()
        for path in made:
            if not any(path.iterdir()):
                path.rmdir()


def _acquire(lease: SoftFileLease, folder: Path) -> None:
    try:
        lease.acquire(timeout=0.5, poll_interval=0.05)
    except Timeout:
        holder = lease.owner
        if holder is not None and _is_here(holder):
            raise _in_use(folder) from None
        if holder is not None:
            say(
                f"{folder} is held by process {holder.pid} on {holder.hostname}; waiting {LEASE_SECONDS:.0f} s to see "
                "whether it lives."
            )
        try:
            lease.acquire(timeout=LEASE_SECONDS + 15 if holder else _TORN_SECONDS, poll_interval=1 if holder else 0.1)
        except Timeout:
            raise _in_use(folder) from None
    except LeaseSettingsMismatch:  # of a version that waits for another time
        raise _in_use(folder) from None


def holder_of(folder: Path) -> str | None:
    """Names the living process that owns a run folder, if there is one; on another host it lives while it renews."""
    owner = SoftFileLease(folder / LOCK, lease_duration=LEASE_SECONDS).owner
    if owner is None:
        return None
    if not _is_here(owner):
        return f"process {owner.pid} on {owner.hostname}" if _is_renewed(folder / LOCK) else None
    try:
        started = datetime.fromtimestamp(psutil.Process(owner.pid).create_time())
    except psutil.NoSuchProcess:
        return None
    return f"process {owner.pid} on {owner.hostname}, started {started:%Y-%m-%d %H:%M:%S}"


def is_held(folder: Path) -> bool:
    """Says whether another living process holds a run folder."""
    owner = SoftFileLease(folder / LOCK, lease_duration=LEASE_SECONDS).owner
    if owner is None or holder_of(folder) is None:
        return False
    return not _is_here(owner) or owner.pid != os.getpid()


def _is_renewed(note: Path) -> bool:
    try:
        return time.time() - note.stat().st_mtime < LEASE_SECONDS
    except OSError:
        return False


def token_in(folder: Path) -> str | None:
    """Reads the token of the hold that this host sees in a folder."""
    owner = SoftFileLease(folder / LOCK, lease_duration=LEASE_SECONDS).owner
    return owner.token if owner else None


def _unusable(folder: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"`output_dir` {shown(str(folder))} cannot be used: {error.strerror}. Choose another with `--output_dir`. "
        "Nothing was written."
    )


def _in_use(folder: Path) -> RunFolderError:
    holder = holder_of(folder)
    if holder is None:
        return RunFolderError(
            f"{folder / LOCK} does not say whose {folder} is. Remove it if no run writes there, or choose another "
            f"folder with `--output_dir {folder}-2`. Nothing was written."
        )
    return RunFolderError(
        f"{folder} is in use by {holder}. Wait for its end or stop it, or choose another folder with "
        f"`--output_dir {folder}-2`. Nothing was written."
    )


def _is_here(owner: OwnerRecord) -> bool:
    # Containers of one host share its name but not its process ids; the library marks their names.
    return owner.hostname == platform.node()


def _end(lost: LeaseCompromise) -> None:
    # Not a save and an orderly end: the folder is another run's by now, or may be.
    lock = Path(lost.lock_file)
    why = {
        "marker-missing": f"{lock} is gone, by which this run owned the folder",
        "refresh-failed": f"{lock} could not be renewed for {LEASE_SECONDS:.0f} s ({lost.error})",
    }.get(
        lost.reason,
        f"{lock.parent} was taken over by {holder_of(lock.parent) or 'another run'} because this process had been "
        f"silent for {LEASE_SECONDS:.0f} s",
    )
    sys.stderr.write(f"Error: {why}. It ends here, so that two runs do not mix.\n")
    sys.stderr.flush()
    os._exit(1)

import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock

from align.errors import DataError
from align.whole_files import sha256_of

ABANDONED = 24 * 60 * 60  # seconds, after which what a killed process left unfinished is removed
LIST = "pictures.json"  # names in order; written last, so that a folder with it is whole


class FrameStore:
    """A folder of pictures by the content they were made from.

    A folder of pictures appears with one rename, so that a killed process leaves either all of them or none; a second
    process that wants the same ones waits and then finds them.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        self.folder = Path(folder).expanduser() if folder is not None else default_folder()
        self._is_cleared = False

    def get(self, key: str, make: Callable[[Path], list[str]]) -> list[str]:
        """Returns the paths of pictures; `make` writes missing ones into an empty folder, and names them in order."""
        name = hashlib.sha256(key.encode()).hexdigest()
        folder = self.folder / name[:2] / name
        with self._writing():
            found = _whole(folder)
        if found is not None:
            return found
        with self._lock(name[:2]):
            return _whole(folder) or self._make(folder, make)

    def digest(self, path: Path) -> str:
        """Names a file after its content, which is read again only if its size or time of change is another one."""
        stat = path.stat()
        state = f"{path.resolve()}\n{stat.st_size}\n{stat.st_mtime_ns}"
        note = self.folder / "digests" / hashlib.sha256(state.encode()).hexdigest()
        with self._writing():
            if note.is_file() and (known := note.read_text()):
                return known
        digest = sha256_of(path)
        with self._writing():
            note.parent.mkdir(parents=True, exist_ok=True)
            written = note.with_name(f"{note.name}.{uuid.uuid4().hex}")
            written.write_text(digest)
            os.replace(written, note)
        return digest

    def _make(self, folder: Path, make: Callable[[Path], list[str]]) -> list[str]:
        unfinished = self.folder / "unfinished" / uuid.uuid4().hex
        with self._writing():
            self._remove_abandoned()
            unfinished.mkdir(parents=True)
            try:
                names = make(unfinished)
                (unfinished / LIST).write_text(json.dumps(names))
                if folder.exists():  # some of its pictures were deleted
                    shutil.rmtree(folder)
                folder.parent.mkdir(parents=True, exist_ok=True)
                unfinished.rename(folder)
            except OSError:
                # On disks without locks another process may have been first.
                if (found := _whole(folder)) is None:
                    raise
                return found
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        return [str(folder / name) for name in names]

    def _remove_abandoned(self) -> None:
        """Removes once what killed processes left; a process that still writes has a newer folder."""
        if self._is_cleared:
            return
        self._is_cleared = True
        for folder in (self.folder / "unfinished").glob("*"):
            with suppress(FileNotFoundError):  # another process may be removing it, too
                if time.time() - folder.stat().st_mtime > ABANDONED:
                    shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _lock(self, name: str) -> Iterator[None]:
        with self._writing():
            (self.folder / "locks").mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "locks" / f"{name}.lock")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"Frames and smaller images cannot be kept in {self.folder}: {error.strerror or error}. "
                f"Set `dataset.frames_dir` to a folder that can be written to and has room."
            ) from error


def default_folder() -> Path:
    """Returns the store in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "truealign" / "frames"


def _whole(folder: Path) -> list[str] | None:
    """Lists the pictures of a folder, None if one of them is missing."""
    try:
        names = json.loads((folder / LIST).read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    paths = [folder / name for name in names]
    return [str(path) for path in paths] if all(path.is_file() for path in paths) else None

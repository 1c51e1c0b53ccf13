"""Answers on disk: what a run that was killed had asked is not asked, and not paid for, again."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from align.errors import UserError


class AnswerCache:
    """Answers by key, kept when the process ends, however it ends; several processes may use a folder at once."""

    def __init__(self, folder: Path, *, option: str = "--out") -> None:
        from diskcache import Cache, JSONDisk

        self._folder, self._option = folder, option
        with self._writing():
            # An answer that was paid for is never evicted.
            self._cache = Cache(str(folder), disk=JSONDisk, disk_compress_level=1, eviction_policy="none")

    def get(self, key: str) -> Any:
        """Returns an answer, or None."""
        with self._writing():
            return self._cache.get(key)

    def put(self, answers: Mapping[str, Any]) -> None:
        """Keeps answers, all or none of them."""
        with self._writing(), self._cache.transact(retry=True):
            for key, answer in answers.items():
                self._cache[key] = answer

    def close(self) -> None:
        """Closes the files."""
        self._cache.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, sqlite3.Error) as error:
            raise UserError(
                f"Answers cannot be kept in {self._folder}: {error}. Free space there or choose another "
                f"`{self._option}`; what was kept is found again by the same command."
            ) from error

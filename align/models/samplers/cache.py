"""Answers on disk, found again by what was asked, so that nothing is paid for twice."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.errors import UserError
from align.models.samplers.sampler import Answer, Request

VERSION = 1  # of what an entry holds


def answer_key(identity: Mapping[str, Any], request: Request) -> str:
    """Returns the name of an answer: a digest of the model and of everything that decides the answer."""
    content = {"version": VERSION, "sampler": dict(identity), "request": request.content}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class AnswerCache:
    """Answers by key; an answer that was put in survives the end of the process, however it ends.

    Args:
        folder: Where it is kept. Several processes may use it at once.

    Raises:
        UserError: If the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        from diskcache import Cache, JSONDisk

        try:
            # An answer that was paid for is never evicted.
            self._cache = Cache(str(folder), disk=JSONDisk, eviction_policy="none")
        except (OSError, sqlite3.Error) as error:
            raise UserError(f"The answers cannot be kept in {folder}: {error}. Choose another `--cache`.") from error

    def get(self, key: str) -> Answer | None:
        """Returns the answer, or None."""
        entry = self._cache.get(key)
        return None if entry is None else Answer(*entry)

    def put(self, key: str, answer: Answer) -> None:
        """Keeps an answer."""
        self._cache[key] = list(answer)

    def __enter__(self) -> "AnswerCache":
        return self

    def __exit__(self, *error: object) -> None:
        self._cache.close()

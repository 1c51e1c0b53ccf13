"""Answers of policies on disk: what a run that was killed had asked is not asked again."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from align.data.media.images import ImageLike, image_digest
from align.data.questions.multiple_choice import Question
from align.errors import UserError

VERSION = 1  # of what an entry holds


def digest(content: object) -> str:
    """Returns a SHA-256 of anything that JSON can write."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def question_key(question: Question) -> list[Any]:
    """Lists what a policy sees of a question, and by which name it is sampled."""
    seen = [question.id, question.question, list(question.options)]
    return [*seen, image_names(question.images)] if question.images else seen


def image_names(images: Sequence[ImageLike]) -> list[str]:
    """Names images after their content; a file is read again only after it was changed."""
    return [
        _file_name(image, Path(image).stat().st_mtime_ns) if isinstance(image, str) else image_digest(image)
        for image in images
    ]


@lru_cache(maxsize=1 << 20)
def _file_name(path: str, _changed: int) -> str:
    return image_digest(path)


class AnswerCache:
    """Answers by key, kept when the process ends, however it ends.

    Args:
        folder: Where they are kept. Entries of other models or profiles have other keys and lie beside them.

    Raises:
        UserError: If the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        from diskcache import Cache, JSONDisk

        self._folder = folder
        with self._writing():
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
                f"Answers cannot be kept in {self._folder}: {error}. Free space there or choose another `--out`; what "
                "was kept is found again by the same command."
            ) from error

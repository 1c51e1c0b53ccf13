"""Answers on disk, found again by what was asked, so that nothing is paid for twice."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from align.models.answer_cache import AnswerCache
from align.models.samplers.sampler import Answer, Request

VERSION = 1  # of what an entry holds


def answer_key(identity: Mapping[str, Any], request: Request) -> str:
    """Returns the name of an answer: a digest of the model and of everything that decides the answer."""
    content = {"version": VERSION, "sampler": dict(identity), "request": request.content}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class SampledAnswers(AnswerCache):
    """Answers of a sampler by key; only their form differs from `AnswerCache`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, option="--cache")

    def find(self, key: str) -> Answer | None:
        """Returns the answer, or None."""
        entry = self.get(key)
        return None if entry is None else Answer(*entry)

    def keep(self, key: str, answer: Answer) -> None:
        """Keeps an answer."""
        self.put({key: list(answer)})

    def __enter__(self) -> "SampledAnswers":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

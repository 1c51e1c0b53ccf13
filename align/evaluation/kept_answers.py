"""Answers that are asked for chunk by chunk, and none of them twice."""

from collections.abc import Callable, Sequence
from typing import Any

from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import VERSION, digest

Progress = Callable[[str, int, int], None]  # what is asked, how many are done, of how many


class KeptAnswers:
    """Asks in the order of length, in chunks, and keeps a chunk's answers together.

    A run that was killed therefore asks the same chunks again, which for sampled answers means the same ones.

    Args:
        cache: Where answers are kept; nowhere without it.
        progress: Called after each chunk.

    Attributes:
        num_cached: Answers that came from the cache.
    """

    def __init__(self, cache: AnswerCache | None = None, progress: Progress | None = None) -> None:
        self.num_cached = 0
        self._cache = cache
        self._progress = progress or (lambda stage, done, total: None)

    def ask(
        self,
        stage: str,
        ask: Callable[[list[int]], list[Any]],
        contents: Sequence[Any],
        lengths: Sequence[int],
        size: int,
    ) -> list[Any]:
        """Returns an answer to each item.

        Args:
            stage: What is asked, in a word.
            ask: Answers the items of some places.
            contents: What each answer depends on, for JSON; equal contents have equal answers.
            lengths: Of the items, about.
            size: Items of a chunk.
        """
        keys = [digest([VERSION, *content]) for content in contents] if self._cache is not None else []
        found: dict[int, Any] = {}
        order = sorted(range(len(contents)), key=lambda i: (lengths[i], i))
        for start in range(0, len(order), size):
            part = order[start : start + size]
            if self._cache is not None:
                found |= {i: answer for i in part if (answer := self._cache.get(keys[i])) is not None}
            missing = [i for i in part if i not in found]
            self.num_cached += len(part) - len(missing)
            if missing:
                new = dict(zip(missing, ask(missing), strict=True))
                found |= new
                if self._cache is not None:
                    self._cache.put({keys[i]: answer for i, answer in new.items()})
            self._progress(stage, min(start + size, len(order)), len(order))
        return [found[i] for i in range(len(contents))]

"""Answers that are asked for chunk by chunk, and none of them twice."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from align.evaluation.divided.division import current
from align.models.answer_cache import AnswerCache
from align.models.policies.answer_keys import VERSION, digest

Progress = Callable[[str, int, int], None]  # what is asked, how many are done, of how many


class KeptAnswers:
    """Asks in the order of length, in chunks, and keeps a chunk's answers together.

    A run that was killed therefore asks the same chunks again, which for sampled answers means the same ones. So do
    the processes of a divided evaluation, each its own chunks.

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

        Raises:
            EndOfPart: In a shard, if others have some of the answers.
        """
        division = current()
        has_keys = self._cache is not None or division.compares
        keys = [digest([VERSION, *content]) for content in contents] if has_keys else []
        division.begin(stage, keys)
        found: dict[int, Any] = {}
        twins: dict[int, int] = {}  # items by the place of an equal one in an earlier chunk
        places: dict[str, int] = {}
        waiting: list[tuple[int, list[int]]] = []
        order = sorted(range(len(contents)), key=lambda i: (lengths[i], i))
        chunks = [order[start : start + size] for start in range(0, len(order), size)]
        for number, part in enumerate(chunks):
            if self._cache is not None:
                twins |= {i: places[keys[i]] for i in part if keys[i] in places}
                places |= {keys[i]: i for i in part if i not in twins}
                known = division.from_main(partial(self._look_up, [keys[i] for i in part]))
                found |= {i: answer for i, answer in zip(part, known, strict=True) if answer is not None}
            missing = [i for i in part if i not in found and i not in twins]
            self.num_cached += len(part) - len(missing)
            waiting += [(number, missing)] if missing else []
            if len(waiting) == division.size or number == len(chunks) - 1:
                for asked, answers in division.answer(waiting, ask):
                    found |= zip(asked, answers, strict=True)
                    self._keep({keys[i]: found[i] for i in asked} if self._cache is not None else {})
                waiting = []
            self._progress(stage, min((number + 1) * size, len(order)), len(order))
        division.end(len(found), len(contents) - len(twins.keys() - found.keys()))
        return [found[i] if i in found else found[twins[i]] for i in range(len(contents))]

    def _look_up(self, keys: Sequence[str]) -> list[Any]:
        return [self._cache.get(key) for key in keys] if self._cache is not None else [None] * len(keys)

    def _keep(self, answers: dict[str, Any]) -> None:
        if self._cache is not None and answers and current().is_main:
            self._cache.put(answers)

"""Rollouts that end when their environment says so, in TRL's loop of turns and calls."""

from collections.abc import Mapping, Sequence
from typing import Any


class StoppedByEnvironments:
    """Asks a row's environment before the model writes again; what is over ends with the results of its calls.

    Stands before a class with TRL 1.16's `_tool_call_loop` and `_generate_single_turn`. Nothing differs where no
    environment stops.
    """

    environments: Sequence[Any] | None
    _answered: Sequence[list[Any]] | None = None  # completions so far, which the loop extends in place

    def _tool_call_loop(self, prompts: Any, prompt_ids: Any, completion_ids: Any, completions: Any, *more: Any) -> Any:
        own: Any = super()
        if any(getattr(each, "_guard_stops", False) for each in self.environments or ()):
            self._answered, self._closed = completions, set[int]()
        try:
            return own._tool_call_loop(prompts, prompt_ids, completion_ids, completions, *more)
        finally:
            self._answered = None

    def _generate_single_turn(self, prompt_ids: Any, images: Any, *more: Any, **named: Any) -> Any:
        own: Any = super()
        if self._answered is None or images is not None:
            return own._generate_single_turn(prompt_ids, images, *more, **named)
        assert self.environments is not None
        goes_on = [not ends(self.environments[row], self._answered[row]) for row in self._waiting()]
        left = [ids for ids, is_open in zip(prompt_ids, goes_on, strict=True) if is_open]
        written, logps = own._generate_single_turn(left, images, *more, **named) if left else ([], None)
        found = iter(zip(written, logps or [[]] * len(written), strict=True))
        turns = [next(found) if is_open else ([], []) for is_open in goes_on]
        self._closed.update(row for row, (ids, _) in zip(self._waiting(), turns, strict=True) if not ids)
        return [ids for ids, _ in turns], [each for _, each in turns]

    def _waiting(self) -> list[int]:
        """Lists the rows whose results the model is about to read: the loop asks about them in this order."""
        assert self._answered is not None
        rows = enumerate(self._answered)
        return [row for row, said in rows if said[-1]["role"] == "tool" and row not in self._closed]


def ends(environment: Any, messages: Sequence[Mapping[str, Any]]) -> bool:
    """Asks an environment, or what is none, whether a rollout is over."""
    return getattr(environment, "_guard_stops", False) and environment._guard_ends(messages)

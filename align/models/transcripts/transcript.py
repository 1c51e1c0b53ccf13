"""What is asked with tools, and what came of it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import groupby
from typing import Any, NamedTuple

from align.data.conversations import Message, message_text
from align.tools.calls import COLUMN, RowCounts, ToolCall, as_column, count_row, ended


class Asked(NamedTuple):
    """A row that is answered once; samples of one row differ in their seed."""

    row: Mapping[str, Any]  # as a trainer reads it: `prompt` as messages, `id`, and every other column
    seed: str  # of its tools, environment and samples, such as `0/row-3/1`


@dataclass(frozen=True)
class Transcript:
    """A finished answer with its calls.

    `ids` are the tokens behind the prompt, the results of tools included, and `mask` has 1 where the model wrote one.
    Of an endpoint, which says how many tokens there were and not which, all are `ANY_TOKEN`.
    """

    prompt: list[Message]  # with what `reset` of an environment added
    completion: list[Message]  # of the model and of its tools
    prompt_ids: list[int]
    ids: list[int]
    mask: list[int]
    calls: list[ToolCall]
    cut_off: bool  # its last turn has no end
    lost: str = ""  # why it has no reward
    rewards: dict[str, float | None] = field(default_factory=dict)  # that its environment gave, by name
    seed: str = ""  # of its tools and environment

    @property
    def text(self) -> str:
        """What the model said last; empty behind a result."""
        last = self.completion[-1] if self.completion else {"role": "tool"}
        return "" if last["role"] == "tool" else message_text(last)

    @property
    def unanswered(self) -> bool:
        """Whether it ends with calls whose results it does not hold: they did not fit, or were one too many."""
        return bool(self.completion and self.completion[-1].get("tool_calls"))

    @property
    def tokens_by_turn(self) -> list[int]:
        """Tokens that the model wrote, turn by turn."""
        return [len(list(run)) for written, run in groupby(self.mask) if written]

    @property
    def counts(self) -> RowCounts:
        """Turns and calls, as training counts them."""
        return count_row(self, self.completion)

    def as_row(self) -> dict[str, Any]:
        """Returns cells for a table: the messages and calls as JSON, and what was counted."""
        return {
            "transcript": json.dumps([*self.prompt, *ended(self.completion)], ensure_ascii=False, default=str),
            COLUMN: as_column([self])[0],
            "turns": self.counts.turns,
            "tokens_by_turn": json.dumps(self.tokens_by_turn),
            "lost": self.lost or None,
        }

    def to_json(self) -> dict[str, Any]:
        """Returns what JSON can keep."""
        return asdict(self) | {"calls": [call._asdict() for call in self.calls]}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Transcript":
        """Makes it of what was kept."""
        return cls(**{**content, "calls": [ToolCall(**call) for call in content["calls"]]})

    def up_to(self, result: int, content: str) -> "Transcript":
        """Returns what was said up to a result, counted from 0, which now reads `content`, and others of its turn."""
        results = [place for place, message in enumerate(self.completion) if message["role"] == "tool"]
        if not 0 <= result < len(results):
            raise ValueError(f"`result` must lie between 0 and {len(results) - 1}, got {result}.")
        place = results[result]
        end = next((i for i in range(place, len(self.completion)) if self.completion[i]["role"] != "tool"), None)
        kept = [dict(message) for message in self.completion[:end]]
        kept[place]["content"] = content
        asked = [call for message in kept for call in message.get("tool_calls") or ()]
        was_made = [isinstance(call["function"].get("arguments"), Mapping) for call in asked if call.get("function")]
        calls = self.calls[: sum(was_made)]  # of others the tool was never asked
        if was_made[result]:
            number = sum(was_made[:result])
            calls[number] = calls[number]._replace(result=content, failure=None)
        turns = sum(message["role"] == "assistant" for message in kept)
        written = 0  # tokens up to the end of the turn that made the call
        for is_ours, run in groupby(self.mask):
            if turns == 0:
                break
            written, turns = written + len(list(run)), turns - bool(is_ours)
        return replace(
            self, completion=kept, ids=self.ids[:written], mask=self.mask[:written], calls=calls, lost="", rewards={}
        )

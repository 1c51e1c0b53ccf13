"""A row as the audit sees it, whatever kind of data it is of."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from align.data.conversations import Message, conversation_text, message_text
from align.data.demonstrations import Demonstration
from align.data.media.images import image_digest
from align.data.pairs.pair import Pair
from align.data.problems import BadRow
from align.data.prompt_rows import PromptRow
from align.data.rules import Question, check_row
from align.data.tables.outcome_rows import ObservedText

_KINDS = ((Pair, "pairs"), (Question, "questions"), (PromptRow, "prompts"), (Demonstration, "sft"),
          (ObservedText, "outcomes"))  # fmt: skip
KINDS = tuple(kind for _, kind in _KINDS)
WITH_TRACE = ("questions", "prompts", "sft")
REFERENCES = ("answer", "reference", "solution", "label")  # what a reward compares a response to a prompt with


class Entry(NamedTuple):
    """One row."""

    id: str
    file: str  # as given
    row: int  # line of a JSONL or CSV file, else number of the record; 0 where it is not known
    prompt: str  # all that is asked, as one text
    sides: tuple[str, ...] = ()  # both responses of a pair, the options of a question, or the one text of other kinds
    gold: int | None = None  # which side is the better or the right one
    label: str | None = None  # gold of a kind without sides to pick from
    group: str | None = None
    images: tuple[str, ...] = ()  # digests of their content
    outcome: float | None = None
    confounders: tuple[float | str, ...] = ()  # numbers or labels, in the order in which they were named
    masked: str | None = None  # text that should not give the gold away
    attributes: tuple[str, ...] = ()  # values of the columns whose pairs are looked at
    asked: str | Sequence[Message] | None = None  # the prompt as it stands there, where it may be messages
    trace: str | None = None  # how the answer was reached
    source: str | None = None  # who wrote the trace
    correct: bool | None = None  # whether the trace is right


def reference_of(columns: Any) -> str | None:
    """Returns what a prompt's responses are compared with, where a column says so."""
    found = next((columns[name] for name in REFERENCES if columns.get(name) is not None), None)
    return None if found is None else str(found)


def entries_of(items: Iterable[Any], file: str) -> tuple[str, Iterator[Entry]]:
    """Turns what a method read into entries; also returns their kind, empty if it is none that has entries."""
    items = items if isinstance(items, Sequence) else list(items)
    if items and isinstance(items[0], PromptRow) and None not in (found := [_as_question(each) for each in items]):
        items = found
    kind = next((name for type_, name in _KINDS if items and isinstance(items[0], type_)), "")
    return kind, (entry_of(item, file) for item in items if kind)


def entry_of(item: Any, file: str) -> Entry:
    """Says what the audit sees of a row that a method read."""
    if isinstance(item, ObservedText):
        return Entry(
            item.id, file, 0, item.prompt, (item.text,), outcome=item.outcome, confounders=item.confounders
        )  # fmt: skip
    images = tuple(map(image_digest, getattr(item, "images", ())))
    found = Entry(item.id, file, item.row, "", images=images)
    if isinstance(item, Question):
        return found._replace(prompt=item.question, sides=item.options, gold=item.answer, group=item.group)
    if isinstance(item, Demonstration):
        asked, taught = _taught(item.columns)
        return found._replace(prompt=conversation_text(asked), sides=(taught,), asked=asked)
    found = found._replace(prompt=conversation_text(item.prompt))
    if isinstance(item, Pair):
        return found._replace(sides=(item.chosen, item.rejected), gold=None if getattr(item, "tie", False) else 0)
    group = item.columns.get("group")
    return found._replace(
        label=reference_of(item.columns), group=None if group is None else str(group), asked=item.prompt
    )


def _as_question(item: PromptRow) -> Question | None:
    """Reads a prompt whose row has its options as the question that it asks; None if it is none."""
    columns = item.columns
    if not isinstance(columns.get("options"), list):
        return None
    asked = {"question": conversation_text(item.prompt), **columns, "id": item.id}
    try:
        return replace(check_row(asked, number=item.row), images=item.images)
    except BadRow:
        return None


def _taught(columns: Mapping[str, Any]) -> tuple[str | Sequence[Message], str]:
    """Takes a demonstration apart into what is asked and the text that is taught; a call of a tool is part of it."""
    if "text" in columns:
        return "", columns["text"]
    if "messages" not in columns:
        return columns["prompt"], conversation_text(columns["completion"])
    *before, last = columns["messages"]
    return before, json.dumps(last, sort_keys=True, default=str) if last.get("tool_calls") else message_text(last)

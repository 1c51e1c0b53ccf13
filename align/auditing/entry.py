"""A row as the audit sees it, whatever kind of data it is of."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

from align.data.conversations import Message, conversation_text
from align.data.media.images import image_digest
from align.data.pairs.pair import Pair
from align.data.prompt_rows import PromptRow
from align.data.questions.multiple_choice import Question
from align.data.tables.outcome_rows import ObservedText

KINDS = ("pairs", "questions", "prompts", "sft", "outcomes")
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
    confounders: tuple[float, ...] = ()  # in the order in which they were named
    masked: str | None = None  # text that should not give the gold away
    attributes: tuple[str, ...] = ()  # values of the columns whose pairs are looked at
    asked: str | Sequence[Message] | None = None  # the prompt as it stands there, where it may be messages
    trace: str | None = None  # how the answer was reached
    source: str | None = None  # who wrote the trace
    correct: bool | None = None  # whether the trace is right


@runtime_checkable
class Taught(Protocol):
    """A row of a method's own kind, which says what the audit sees of it."""

    def sft_entry(self, file: str) -> Entry:
        """Returns itself as a prompt with the one text that is taught."""


def reference_of(columns: Any) -> str | None:
    """Returns what a prompt's responses are compared with, where a column says so."""
    found = next((columns[name] for name in REFERENCES if columns.get(name) is not None), None)
    return None if found is None else str(found)


def entries_of(items: Iterable[Any], file: str) -> tuple[str, Iterator[Entry]]:
    """Turns what a method read into entries; also returns their kind, empty if it is none that has entries."""
    items = items if isinstance(items, Sequence) else list(items)
    kinds = {Pair: "pairs", Question: "questions", PromptRow: "prompts", ObservedText: "outcomes"}
    if items and isinstance(items[0], Taught):
        return "sft", (item.sft_entry(file) for item in items)
    kind = next((name for type_, name in kinds.items() if items and isinstance(items[0], type_)), "")
    return kind, (_entry(item, file) for item in items if kind)


def _entry(item: Any, file: str) -> Entry:
    if isinstance(item, ObservedText):
        return Entry(
            item.id, file, 0, item.prompt, (item.text,), outcome=item.outcome, confounders=item.confounders
        )  # fmt: skip
    images = tuple(image_digest(image) for image in getattr(item, "images", ()))
    if isinstance(item, Question):
        return Entry(
            item.id, file, item.row, item.question, item.options, item.answer, group=item.group, images=images
        )
    if isinstance(item, Pair):
        gold = None if getattr(item, "tie", False) else 0
        return Entry(
            item.id, file, item.row, conversation_text(item.prompt), (item.chosen, item.rejected), gold, images=images
        )
    group = item.columns.get("group")
    return Entry(
        item.id, file, item.row, conversation_text(item.prompt), label=reference_of(item.columns),
        group=None if group is None else str(group), images=images,
    )  # fmt: skip

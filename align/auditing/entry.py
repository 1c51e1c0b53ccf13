"""A row as the audit sees it, whatever kind of data it is of."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from align.data.columns import Columns, guess_columns, rename
from align.data.conversations import Message, conversation_text, message_text
from align.data.demonstrations import Demonstration
from align.data.media.images import image_digest
from align.data.pairs.pair import Pair
from align.data.problems import BadRow
from align.data.prompt_rows import PromptRow
from align.data.question_checks import Question, check_row
from align.data.tables.outcome_rows import ObservedText

_KINDS = ((Pair, "pairs"), (Question, "questions"), (PromptRow, "prompts"), (Demonstration, "sft"),
          (ObservedText, "outcomes"))  # fmt: skip
KINDS = tuple(kind for _, kind in _KINDS)
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


def reference_of(columns: Any) -> str | None:
    """Returns what a prompt's responses are compared with, where a column says so."""
    found = next((columns[name] for name in REFERENCES if columns.get(name) is not None), None)
    return None if found is None else str(found)


def entries_of(items: Iterable[Any], file: str) -> tuple[str, Iterator[Entry]]:
    """Turns what a method read into entries; also returns their kind, empty if it is none that has entries.

    Prompts whose rows have their options are questions if all can be read so; else those that can have their gold.
    """
    items = items if isinstance(items, Sequence) else list(items)
    kind = next((name for type_, name in _KINDS if items and isinstance(items[0], type_)), "")
    if kind == "prompts" and any(asked := _as_questions(items)):
        if None not in asked:
            return entries_of(asked, file)
        read = ((entry_of(item, file), each) for item, each in zip(items, asked, strict=True))
        return kind, (entry._replace(sides=each.options, gold=each.answer) if each else entry for entry, each in read)
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
        return found._replace(prompt=conversation_text(asked), sides=(taught,))
    found = found._replace(prompt=conversation_text(item.prompt))
    if isinstance(item, Pair):
        return found._replace(sides=(item.chosen, item.rejected), gold=None if getattr(item, "tie", False) else 0)
    group = item.columns.get("group")
    return found._replace(label=reference_of(item.columns), group=None if group is None else str(group))


def _as_questions(items: Sequence[PromptRow]) -> list[Question | None]:
    """Reads prompts whose rows have their options as the questions that they ask; None for a row that is none."""
    found = [_choice_in(item.columns) for item in items]
    numbers = [(each.answer, len(each.options)) for each in found if each and type(each.answer) is int]
    # The first option is number 1 where no answer is 0, and some are as many as there are options.
    first = int(all(number for number, _ in numbers) and any(number == of for number, of in numbers))
    return [each and _as_question(item, each, first) for item, each in zip(items, found, strict=True)]


class _Choice(NamedTuple):
    options: list[Any]
    answer: Any


def _choice_in(columns: Mapping[str, Any]) -> _Choice | None:
    """Finds the options of a row and what says which is right, in any of the usual columns."""
    guessed = _guess(tuple(columns))
    if guessed is None:
        return None
    row = rename(columns, guessed)
    options, answer = row["options"], row["answer"]
    if isinstance(options, Mapping) and {*options} == {"text", "label"}:
        labels = [*map(str, options["label"])]
        options, answer = options["text"], labels.index(str(answer)) if str(answer) in labels else None
    if not isinstance(options, list):
        return None
    is_number = isinstance(answer, str) and answer.isdecimal() and answer not in options
    return _Choice(options, int(answer) if is_number else answer)


@lru_cache
def _guess(names: tuple[str, ...]) -> Columns | None:
    names = tuple(name for name in names if name.casefold() != "answers")  # which may all be right
    wanted = [name for name in ("options", "answer") if name not in names]
    guessed = guess_columns(wanted, names)
    return guessed if len(guessed) == len(wanted) else None


def _as_question(item: PromptRow, choice: _Choice, first: int) -> Question | None:
    asked, (options, answer) = conversation_text(item.prompt), choice
    if answer in options and not all(str(each) in asked for each in options):
        return None  # no place is shown, and none is asked for
    place = answer - first if type(answer) is int else answer
    row = dict(item.columns) | {"question": asked, "options": options, "answer": place, "id": item.id}
    try:
        found = check_row(row, number=item.row)
    except BadRow:
        return None
    return replace(found, images=item.images)


def _taught(columns: Mapping[str, Any]) -> tuple[str | Sequence[Message], str]:
    """Takes a demonstration apart into what is asked and the text that is taught; a call of a tool is part of it."""
    if "text" in columns:
        return "", columns["text"]
    if "messages" not in columns:
        return columns["prompt"], conversation_text(columns["completion"])
    *before, last = columns["messages"]
    return before, json.dumps(last, sort_keys=True, default=str) if last.get("tool_calls") else message_text(last)

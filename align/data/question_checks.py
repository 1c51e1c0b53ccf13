"""A multiple-choice question, and the rules that its row has to follow, checked in the order a reader would."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data.media.video import VideoMetadata
from align.data.problems import BadRow, RawRow
from align.data.texts import fold, is_blank
from rewards.reading.options import LETTERS, parse_choice


@dataclass(frozen=True)
class Question:
    """One question that passed every check."""

    id: str
    question: str
    options: tuple[str, ...]  # K of them
    answer: int | None  # index of the right option; None where rows are read without labels
    group: str | None  # what the question belongs to, such as a subject
    images: tuple[Any, ...]  # paths or images, the frames of a video included
    row: int  # line of a JSONL or CSV file, else number of the record
    video: VideoMetadata | None = None  # where the images are its frames
    contrast_set: str | None = None  # questions all of which have to be right


def check_row(
    row: Mapping[str, Any], *, untyped: bool = False, number: int = 0, name: str = "", has_label: bool = True
) -> Question:
    """Checks a row in our schema but for its images; where values are `untyped`, as in CSV, digits may be an index.

    Without `has_label` the right answer is not read, whatever stands there.
    """
    question = row.get("question")
    if not isinstance(question, str) or is_blank(question):
        raise BadRow("question", question, "the question is missing or empty", "Write a text.")
    options = _check_options(row.get("options"))
    return Question(
        id=check_label("id", row.get("id")) or name,
        question=question,
        options=options,
        answer=_check_answer(row.get("answer"), options, untyped) if has_label else None,
        group=check_label("group", row.get("group")),
        images=(),
        row=number,
        contrast_set=check_label("contrast_set", row.get("contrast_set")),
    )


def _check_options(options: object) -> tuple[str, ...]:
    if not isinstance(options, list | tuple):
        raise BadRow("options", options, "the options are not a list", 'Write ["iron", "gold"].')
    if len(options) < 2:
        raise BadRow("options", options, "there are fewer than 2 options", "Add options or leave the row out.")
    if len(options) > len(LETTERS):
        raise BadRow("options", len(options), f"there are more than {len(LETTERS)} options", "Leave some out.")
    seen: dict[str, int] = {}
    for i, option in enumerate(options):
        if not isinstance(option, str):
            raise BadRow("options", option, "an option is not a text", f"Put option {LETTERS[i]} in quotes.")
        if is_blank(option):
            raise BadRow("options", option, "an option is empty", f"Write option {LETTERS[i]} or leave it out.")
        text = fold(option)
        if text in seen:
            remedy = _word_twins(options[seen[text]], option, LETTERS[seen[text]], LETTERS[i])
            raise BadRow("options", option, "two options are the same", remedy)
        seen[text] = i
    return tuple(options)


def _word_twins(first: str, second: str, *letters: str) -> str:
    same = " ".join(first.split()).casefold() == " ".join(second.split()).casefold()
    look = "" if same else " but for what is not shown, or how accents are written (NFC, NFD)"
    return f"{' and '.join(letters)} are the same{look}: change or remove one."


COUNTS_FROM_ONE = "the answer is not among the options, unless these are counted from 1"


def _check_answer(answer: object, options: tuple[str, ...], untyped: bool) -> int:
    remedy = f"Write an index from 0 to {len(options) - 1}, a letter from A to {LETTERS[len(options) - 1]}, or a text."
    if answer is None or (isinstance(answer, str) and is_blank(answer)):
        raise BadRow("answer", answer, "the answer is missing", remedy)
    if isinstance(answer, bool) or not isinstance(answer, str | int):
        raise BadRow("answer", answer, "the answer is neither an index nor a text", remedy)
    if str(answer).strip() == str(len(options)) not in options:
        raise BadRow("answer", answer, COUNTS_FROM_ONE, remedy)
    if isinstance(answer, str):
        readings = _readings(answer.strip(), options, untyped)
    else:
        readings = {answer} & {*range(len(options))}
    if not readings:
        raise BadRow("answer", answer, "the answer is not among the options", remedy)
    if len(readings) > 1:
        letters = " or ".join(LETTERS[i] for i in sorted(readings))
        form = "letter" if str(answer).strip().isdigit() else "index"
        remedy = f"It may mean option {letters}: write its {form} instead."
        raise BadRow("answer", answer, "the answer can be read in two ways", remedy)
    return readings.pop()


def _readings(answer: str, options: tuple[str, ...], untyped: bool) -> set[int]:
    """Lists what an answer may mean: the option with this text, this letter or, in CSV, this index."""
    readings = {i for i, option in enumerate(options) if fold(option) == fold(answer)}
    choice = parse_choice(answer, options)
    if choice is not None:
        readings.add(choice)
    if untyped and answer.isdecimal() and int(answer) < len(options):
        readings.add(int(answer))
    return readings


def check_label(column: str, value: object) -> str | None:
    """Checks a short text or a number, such as an id."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int) or is_blank(str(value)):
        raise BadRow(column, value, f"the {column} is neither a text nor a number", "Write a short text.")
    return str(value)


def check_id(row: Mapping[str, Any], raw: RawRow) -> str:
    """Returns the id of a row, which is made of its file and place where it has none."""
    return check_label("id", row.get("id")) or raw.name


CSV_TRUTH = {"true": True, "false": False}


def check_truth(column: str, value: object, *, untyped: bool = False) -> bool | None:
    """Checks what a row says is so, None where it says nothing; in CSV, a word may be it."""
    if untyped and isinstance(value, str):
        value = None if is_blank(value) else CSV_TRUTH.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    raise BadRow(column, value, f"`{column}` is neither true nor false", "Write true, false, or leave it out.")


def check_number(column: str, value: object) -> float:
    """Checks a number that is finite."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise BadRow(column, value, f"the {column} is not a finite number", "Write one, such as 0.5, or leave it out.")
    return float(value)


def check_responses(column: str, value: object) -> tuple[str, ...]:
    """Checks a list of one response or more, each a text."""
    if not isinstance(value, list | tuple) or not value or not all(isinstance(text, str) for text in value):
        raise BadRow(column, value, "there is no list of texts", 'Write ["4", "It is four."].')
    return tuple(value)

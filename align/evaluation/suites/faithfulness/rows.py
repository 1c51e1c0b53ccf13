"""Questions whose answer is a text or a number."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from align.data.conversations import Message
from align.data.media.rows import MEDIA
from align.data.problems import BadRow
from align.data.prompt_rows import check_prompt_row
from align.data.rules import check_label
from align.data.texts import is_blank
from align.errors import UserError
from align.evaluation.suite import Loaded, Reading
from align.evaluation.suites.faithfulness.answers import is_right
from align.evaluation.suites.faithfulness.hints import WRONG
from align.evaluation.suites.rows import check_text, load_suite_rows

_REMEDY = 'Write a text, a number, or a list of texts that are all right, such as ["Turin", "Torino"].'


@dataclass(frozen=True)
class TracedQuestion:
    """A question.

    Attributes:
        id: Its name, unique in the data set.
        prompt: A text, or messages; None where there is a question only.
        question: As it is asked, in our words around it; None where there is a prompt.
        answers: Texts of which each is right.
        wrong: The wrong answer that the hint names; None if it is to be another row's.
        hint: How the hint is worded; None for our words.
        group: For metrics by group.
        row: Where it stood.
    """

    id: str
    prompt: str | list[Message] | None
    question: str | None
    answers: tuple[str, ...]
    wrong: str | None
    hint: str | None
    group: str | None
    row: int


def load(reading: Reading, options: Any) -> Loaded:
    """Loads the questions, and checks the suite's own options.

    Raises:
        UserError: If an option is out of its range, or is no pattern.
    """
    if options.answer_tokens < 1:
        raise UserError(f"`answer_tokens` must be at least 1, got {options.answer_tokens}.")
    try:
        re.compile(options.hint_pattern or "")
    except re.error as error:
        raise UserError(
            f"`hint_pattern` must be a regular expression, got {options.hint_pattern!r}: {error}. Escape its signs."
        ) from error
    return load_suite_rows(reading, ("answer",), _check)


def _check(row: Mapping[str, Any], name: str, number: int) -> TracedQuestion:
    if shown := next((column for column in MEDIA if row.get(column)), None):
        raise BadRow(shown, row[shown], "this suite asks texts only", "Leave out rows with images.")
    prompt = check_prompt_row({"prompt": row["prompt"]})[0] if row.get("prompt") is not None else None
    if prompt is None and row.get("question") is None:
        raise BadRow("prompt", None, "there is neither a prompt nor a question", "Write one of the two.")
    answers = _check_answers(row.get("answer"))
    wrong = None if row.get("wrong") is None else _write(row["wrong"], "wrong", "Write a text or a number.")
    if wrong is not None and is_right(wrong, answers):
        raise BadRow("wrong", wrong, "the wrong answer is the right one", "Write another, or leave it out.")
    return TracedQuestion(
        name,
        prompt,
        check_text(row, "question", what="question") if prompt is None else None,
        answers,
        wrong,
        _check_hint(row, wrong),
        check_label("group", row.get("group")),
        number,
    )


def _check_answers(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list | tuple) else [value]
    if not values:
        raise BadRow("answer", value, "the answer is missing", _REMEDY)
    return tuple(_write(each, "answer", _REMEDY) for each in values)


def _write(value: object, column: str, remedy: str) -> str:
    """Writes an answer as a text; a whole number has no decimals."""
    if isinstance(value, str) and not is_blank(value):
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        is_there = value is not None and not isinstance(value, str)
        raise BadRow(column, value, f"the answer is {'no text or number' if is_there else 'missing'}", remedy)
    return str(value).removesuffix(".0")


def _check_hint(row: Mapping[str, Any], wrong: str | None) -> str | None:
    if row.get("hint") is None:
        return None
    hint = check_text(row, "hint", what="hint")
    if WRONG not in hint and (wrong is None or wrong not in hint):
        remedy = f"Write {WRONG} where it stands, or name the answer in column `wrong` in it."
        raise BadRow("hint", hint, "the hint names no wrong answer", remedy)
    return hint

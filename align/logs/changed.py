"""Documents that one log has a higher score of than the other: what was asked, and what each answered."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from align.data.problems import printable, shorten
from align.logs.log import Item, Log

_LONGEST, _DEEPEST = 2000, 4  # characters of a text, and lists within lists
_LINE = 96  # characters on the console


class Changed(BaseModel):
    """A document and its scores in the first log and in this one, with their answers as far as the logs hold them."""

    model_config = ConfigDict(strict=True)

    key: bytes = Field(exclude=True)
    name: str
    scores: tuple[float, float]
    asked: str = ""
    answers: tuple[str, str] = ("", "")

    def lines(self, first: str, this: str) -> list[str]:
        """Writes it for the console: the question, and what each log says and has for it."""
        sides = zip((first, this), self.scores, self.answers, strict=True)
        texts = [
            self.asked or self.name,
            *(f"{side} ({score:g}): {said or '(not logged)'}" for side, score, said in sides),
        ]
        return [printable(cut_line(text)) for text in texts]


def cut_line(text: str) -> str:
    """Writes a text on one line of limited width."""
    line = " ".join(text[: 10 * _LINE].split())
    return line if len(line) <= _LINE else f"{line[: _LINE - 3]}..."


Texts = dict[str, dict[bytes, Item]]  # by task and key


def add_texts(changed: Mapping[tuple[str, str], Sequence[Changed]], first: str, read: Callable[..., Log]) -> None:
    """Fills in questions and answers of documents, by task and log; `read` reads a log again, and keeps some texts."""
    shown = frozenset(each.key for some in changed.values() for each in some)
    logs: dict[str, Texts] = {}
    for name in dict.fromkeys((first, *(log for _, log in changed))) if shown else ():
        logs[name] = {task: each.texts for task, each in read(name, shown).tasks.items()}
    for (task, log), some in changed.items():
        ours, theirs = (_of_task(logs[name], task) if some else {} for name in (first, log))
        for each in some:
            each.asked, *answers = _texts(ours.get(each.key), theirs.get(each.key))
            each.answers = answers[0], answers[1]


def _of_task(texts: Texts, name: str) -> dict[bytes, Item]:
    """Finds the texts of a task, which is under any name where a log has one alone."""
    return texts[name] if name in texts else next(iter(texts.values()))


def _texts(ours: Item | None, theirs: Item | None) -> tuple[str, str, str]:
    """Writes a question and two answers; of rows of tables what both have alike is the question."""
    said = [None if item is None else item.said for item in (ours, theirs)]
    asked = next((item.document for item in (ours, theirs) if item is not None), None)
    rows = [side for side in said if isinstance(side, Mapping)]
    if ours is not None and theirs is not None and len(rows) == 2:
        alike = {name: value for name, value in rows[0].items() if value == rows[1].get(name)}
        left = {*alike, *ours.scores, *theirs.scores}
        asked = {name: value for name, value in alike.items() if name not in ours.scores} or asked
        said = [{name: value for name, value in row.items() if name not in left} for row in rows]
    return _text(asked), _text(said[0]), _text(said[1])


def _text(value: Any, depth: int = 0) -> str:
    r"""Writes what was asked or said: of messages the last one's content, of other fields a line each.

    Example:
        >>> _text([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}])
        '2 + 2?'
        >>> _text({"question": "Which?", "options": ["A", "B"], "image": None})
        'question: Which?\noptions: A | B'
    """
    if isinstance(value, Mapping) and depth < _DEEPEST:
        fields = [name for name, each in value.items() if each not in (None, "", [], {})]
        own = [
            name for name in ("content", "text") if name in fields and not value.keys().isdisjoint(("role", "type"))
        ]
        texts = (_text(value[name], depth + 1) for name in own or fields)
        text = "".join(texts) if own else "\n".join(map("{}: {}".format, fields, texts))
    elif isinstance(value, list) and depth < _DEEPEST:
        is_talk = all(isinstance(each, Mapping) and "role" in each for each in value)
        text = " | ".join(_text(each, depth + 1) for each in (value[-1:] if is_talk else value))
    else:
        text = "" if value is None else value if isinstance(value, str) else shorten(value, _LONGEST)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."

"""Honest answers: the right one in the form that a reward pays best, or the best of given samples."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from rewards.attacks.seen import Seen
from rewards.reading.options import LETTERS
from rewards.reading.responses import ResponseFormat
from rewards.running.contract import samples as tried
from rewards.running.contract.patterns import MOST_PATTERNS, in_pattern, matching, patterns
from rewards.running.contract.samples import GOLD_COLUMNS, Row, is_choice
from rewards.running.contract.trial import TOLERANCE, Trial, row_in_form

Texts = Sequence[str | None]
Pay = Callable[[Sequence[Row], Texts, str], np.ndarray]
ROWS_FOR_FORM = 16  # on which it is found in which form a reward reads answers
DECOYS = 3  # other right answers that a row is given
TRACE = "I read the question again, go through all that is given one by one, keep what matters, and look once more."
NUMBER = re.compile(r"-?\d[\d,]*\.?\d*")
CALLED = re.compile(r"def\s+(\w+)|assert\s+(\w+)\(|(\w+)\(")
FENCE = re.compile(r"(```\w*\n)(.*?)\n?```", re.DOTALL)


class Honest(NamedTuple):
    """Honest answers to rows, and what a reward pays for them; NaN where it pays no number."""

    rows: list[Row]
    seen: list[Seen]
    rights: Texts  # the right answers, None where there is none
    texts: Texts  # the honest responses
    pays: np.ndarray
    told: np.ndarray  # where the reward pays a wrong answer in the same form less
    form: str  # in which the reward pays them best, in words
    guess: float  # share of rows for which the best single guess is right
    exchanged: list[tuple[list[Row], np.ndarray]]  # with other right answers; where those are paid, and no own ones
    swapped: Sequence[str]  # columns that hold right answers, or else all that the reward reads

    @property
    def tells(self) -> bool:
        """Whether the reward is about answers: it pays right ones more than wrong ones in the same form."""
        return bool(2 * self.told.sum() >= max(1, np.isfinite(self.pays).sum()))


def gains(ones: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns by how much pays are above others, and 0 within rounding."""
    found = ones - others
    return np.where(
        np.abs(found) <= TOLERANCE * np.maximum(1e-2, np.maximum(np.abs(ones), np.abs(others))), 0.0, found
    )


def mean(pays: np.ndarray) -> float:
    """Returns the mean of what is a number; NaN if nothing is."""
    return float(pays[np.isfinite(pays)].mean()) if np.isfinite(pays).any() else float("nan")


def find_honest(pay: Pay, rows: list[Row], samples: Sequence[Sequence[str]], trial: Trial) -> Honest:
    """Finds honest answers to rows, and what the reward tells of them."""
    tags, parameters = trial.settings.response_format, trial.description.parameters
    read, columns = {*parameters.columns, *parameters.asked_for}, [tried.gold_column(rows)]
    if read & {*GOLD_COLUMNS} & {*rows[0]}:  # the right answer in another column is honest only if it is paid more,
        shown = [{name: row[name] for name in row if name in read or name not in GOLD_COLUMNS} for row in rows]
        columns = [tried.gold_column(shown), *columns]
        if _in_prompts(rows, columns[0]):  # or as much where prompts show what is read, as of `Make 24 from 3 and 8.`
            columns.reverse()
    shown_forms = [
        (f"as its code reads it, {matching(each, '...')}", partial(in_pattern, each))
        for each in patterns(trial.description.literals)[:MOST_PATTERNS]
    ]
    forms = [
        (name, write, sides, golds)
        for golds, known in (_right_and_wrong(rows, column) for column in dict.fromkeys(columns))
        for sides in known
        for name, write in [*tried.answer_forms(tags), *_more_forms(tags, golds), *shown_forms]
    ]

    def paid(form: tuple[str, Any, Any, Any]) -> float:
        texts = [None if right is None else form[1](right) for right in form[2][0][:ROWS_FOR_FORM]]
        return float(np.nan_to_num(mean(pay(rows[:ROWS_FOR_FORM], texts, f"the right answer {form[0]}")), nan=-np.inf))

    nothing: Texts = [None] * len(rows)
    unknown: tuple[str, Any, Any, Texts] = ("of samples", str, [nothing, nothing], nothing)
    name, write, (rights, wrongs), golds = max(forms, key=paid) if forms else unknown
    texts, below = ([None if each is None else write(each) for each in side] for side in (rights, wrongs))
    if samples and not forms:
        asked = [[own[k] if k < len(own) else None for own in samples] for k in range(max(map(len, samples)))]
        best = np.nan_to_num([pay(rows, each, "a sample") for each in asked], nan=-np.inf).argmax(0)
        texts = [asked[k][i] for i, k in enumerate(best)]
        wrongs = below = [*texts[1:], *texts[:1]]
    pays = pay(rows, texts, "an honest answer")
    told = gains(pays, pay(rows, below, "a wrong answer")) > 0
    counts = Counter(gold for gold in golds if gold is not None)
    seen = []
    for row, gold, right, wrong in zip(rows, golds, rights, wrongs, strict=True):
        own = Seen(str(row_in_form(row, "text")["prompt"]), form=write, tags=tags, wrong=wrong or "something else")
        own = own._replace(shape=_shape(right or ""))
        if is_choice(row):
            texts_of = tuple(map(str, row["options"]))
            own = own._replace(options=texts_of if right in texts_of else tuple(LETTERS[: len(texts_of)]))
        elif "tests" in row or "def " in (gold or ""):  # all solutions together do the task, so that none is shown
            called = CALLED.search(f"{gold}\n{row.get('tests')}\n{row.get('prompt')}")
            own = own._replace(call=next(filter(None, called.groups())) if called else "answer")
        else:
            own = own._replace(golds=tuple(each for each, _ in counts.most_common()))
        seen.append(own)
    chances = [1 / len(row["options"]) for row in rows if is_choice(row)]
    guess = max([*chances, *(count / len(rows) for count in counts.values())], default=0.5)
    swapped = [name for name in GOLD_COLUMNS if name in read] or [name for name in rows[0] if name in read]
    found = Honest(rows, seen, rights, texts, pays, told, name, guess, [], swapped)
    if found.tells and counts and not any(each.call for each in seen):  # a program is for its own tests only
        for others, own_texts in _exchanged(rows, golds, rights, write, swapped):
            fails = gains(pays, pay(others, texts, "an honest answer to another row")) > 0
            is_paid = gains(pay(others, own_texts, "the right answer to another row"), pays) >= 0
            found.exchanged.append((others, fails & is_paid & told))
    return found


def _in_prompts(rows: Sequence[Row], column: str | None) -> bool:
    """Tells whether most prompts show what stands in a column."""
    found = [
        (tried.gold_text(row, column) or "\n") in str(row_in_form(row, "text")["prompt"]) for row in rows if column
    ]
    return 2 * sum(found) > len(rows)


def _right_and_wrong(rows: Sequence[Row], column: str | None) -> tuple[Texts, list[list[Texts]]]:
    """Returns what a column says, and the right and the wrong answers by it in each spelling, without their fence."""
    shown = [{name: row[name] for name in row if name == column or name not in GOLD_COLUMNS} for row in rows]
    golds = [None if column is None else tried.gold_text(row, column) for row in shown]
    known = [None if gold is None else tried.right_and_wrong(shown, i) for i, gold in enumerate(golds)]
    spellings = range(min((len(right) for right, _ in filter(None, known)), default=0))
    sides = [
        [[None if each is None else FENCE.sub(r"\2", each[side][place]) for each in known] for side in (0, 1)]
        for place in spellings
    ]
    return golds, sides  # type: ignore[return-value]


def _more_forms(tags: ResponseFormat, golds: Texts) -> list[tuple[str, Callable[[str], str]]]:
    think, own = tags.think_tag, tags.answer_tag
    fenced = FENCE.match(next(filter(None, golds), ""))
    fence = fenced[1] if fenced else "```python\n"
    return [
        ("in a fence", lambda x: f"{fence}{x}\n```"),
        ("in JSON", lambda x: json.dumps({"answer": x}, ensure_ascii=False)),
        ("in a sentence", lambda x: f"The answer is {x}."),
        ("in tags on lines", lambda x: f"<{think}>\n{TRACE}\n</{think}>\n<{own}>\n{x}\n</{own}>\n"),
    ]


def _exchanged(
    rows: list[Row], golds: Sequence[str | None], rights: Texts, write: Callable[[str], str], names: Sequence[str]
) -> Iterator[tuple[list[Row], Texts]]:
    """Puts other right answers in the place of the own ones, alike ones first; yields rows and honest answers."""
    places = {gold: place for place, gold in enumerate(golds) if gold is not None}
    for shift in range(1, DECOYS + 1):
        others: list[Row] = []
        texts: list[str | None] = []
        for row, gold, right in zip(rows, golds, rights, strict=True):
            if gold is None:
                donor, text = row, None
            elif is_choice(row):
                number = (row["answer"] + shift) % len(row["options"])
                donor, names = {"answer": number}, [*map(str, row["options"])]
                text = names[number] if right in names else LETTERS[number]
            else:
                alike = [each for each in places if _shape(each) == _shape(gold)]
                known = alike if len(alike) > shift else [*places]
                place = places[known[(known.index(gold) + shift) % len(known)]]
                donor, text = rows[place], rights[place]
            others.append({**row, **{name: donor[name] for name in names if name in row and name in donor}})
            texts.append(None if text is None else write(text))
        yield others, texts


def _shape(text: str) -> str:
    return NUMBER.sub("#", text)

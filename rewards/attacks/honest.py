"""Honest answers: the right one in the form that a reward pays best, or the best of given samples."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rewards.attacks.seen import Seen
from rewards.reading.responses import ResponseFormat
from rewards.running.contract.samples import (
    GOLD_COLUMNS,
    Row,
    answer_forms,
    gold_column,
    gold_text,
    is_choice,
    right_and_wrong,
)
from rewards.running.contract.signature import Parameters
from rewards.running.contract.trial import TOLERANCE, Trial, row_in_form

Values = list[float | None]
Texts = list[str | None]
Pay = Callable[[Sequence[Row], Sequence[str | None], str], Values]
ROWS_FOR_FORM = 16  # on which it is found in which form a reward reads answers
DECOYS = 3  # other right answers that a row is given
TRACE = (
    "I read the question again: what is asked, what is given, and what follows. I go through all of it one by one and "
    "keep what matters. Then I look at the result once more, and see whether it fits."
)
CALLED = re.compile(r"def\s+(\w+)|assert\s+(\w+)\(|(\w+)\(")


class Honest(NamedTuple):
    """Honest answers to rows, and what a reward pays for them."""

    rows: list[Row]
    seen: list[Seen]
    rights: Texts  # the right answers, None where there is none
    texts: Texts  # the honest responses
    pays: Values
    told: list[bool]  # whether the reward pays a wrong answer in the same form less
    form: str  # in which the reward pays them best, in words
    guess: float  # share of rows for which the best single guess is right
    exchanged: list[tuple[list[Row], list[bool]]]  # rows with other right answers, and whether the own one fails there

    @property
    def tells(self) -> bool:
        """Whether the reward is about answers: it pays right ones more than wrong ones in the same form."""
        return 2 * sum(self.told) >= max(1, sum(pay is not None for pay in self.pays))

    @property
    def is_exchangeable(self) -> bool:
        """Whether the reward reads right answers in the rows, so that others can be put there."""
        valid = [any(each) for each in zip(*(valid for _, valid in self.exchanged), strict=True)]
        return 2 * sum(valid) >= max(1, sum(self.told))

    @property
    def mean(self) -> float | None:
        """Mean pay of honest answers."""
        return _mean(self.pays)  # type: ignore[no-any-return]


def is_more(one: float, other: float) -> bool:
    """Tells whether a pay is above another by more than rounding."""
    return one - other > TOLERANCE * max(1e-2, abs(one), abs(other))


def find_honest(pay: Pay, rows: list[Row], samples: Sequence[Sequence[str]], trial: Trial) -> Honest:
    """Finds honest answers to rows, and what the reward tells of them."""
    tags = trial.settings.response_format
    shown = _with_read_columns(rows, trial.description.parameters)
    column = gold_column(shown)
    golds = [None if column is None else gold_text(row, column) for row in shown]
    known = [None if gold is None else right_and_wrong(shown, i) for i, gold in enumerate(golds)]
    spellings = min((len(right) for right, _ in filter(None, known)), default=0)
    forms = [(*form, place) for place in range(spellings) for form in (*answer_forms(tags), *_more_forms(tags))]

    def written(form: tuple[str, Callable[[str], str], int], side: int, count: int | None = None) -> Texts:
        return [None if each is None else form[1](each[side][form[2]]) for each in known[:count]]

    def mean_pay(form: tuple[str, Callable[[str], str], int]) -> float:
        own = pay(rows[:ROWS_FOR_FORM], written(form, 0, ROWS_FOR_FORM), f"the right answer {form[0]}")
        return _mean(own, default=-float("inf"))

    form = max(forms, key=mean_pay) if forms else ("of samples", str, 0)
    rights, wrongs = (written((form[0], str, form[2]), side) for side in (0, 1))
    if forms:
        texts, below = written(form, 0), written(form, 1)
        pays = pay(rows, texts, "an honest answer")
    else:
        texts, pays = _best_samples(pay, rows, samples)
        wrongs = below = [*texts[1:], *texts[:1]]
    told = _where_more(pays, pay(rows, below, "a wrong answer"))
    counts = Counter(gold for gold in golds if gold is not None)
    seen = []
    for row, gold, wrong in zip(rows, golds, wrongs, strict=True):
        own = Seen(str(row_in_form(row, "text")["prompt"]), form=form[1], tags=tags, wrong=wrong or "something else")
        if is_choice(row):
            own = own._replace(options=tuple(map(str, row["options"])))
        elif "tests" in row or "def " in (gold or ""):  # all solutions together do the task, so that none is shown
            called = CALLED.search(f"{gold}\n{row.get('tests')}\n{row.get('prompt')}")
            own = own._replace(call=next(filter(None, called.groups())) if called else "answer")
        else:
            own = own._replace(golds=tuple(each for each, _ in counts.most_common()))
        seen.append(own)
    chances = [1 / len(row["options"]) for row in rows if is_choice(row)]
    guess = max([*chances, *(count / len(rows) for count in counts.values())], default=0.5)
    found = Honest(rows, seen, rights, texts, pays, told, form[0], guess, [])
    can_move = found.tells and counts and not any(each.call for each in seen)  # a program is for its own tests only
    for others in _exchanged(rows, golds) if can_move else ():
        fails = _where_more(pays, pay(others, texts, "an honest answer to another row"))
        found.exchanged.append((others, [a and b for a, b in zip(fails, told, strict=True)]))
    return found


def _where_more(ones: Values, others: Values) -> list[bool]:
    pairs = zip(ones, others, strict=True)
    return [one is not None and other is not None and is_more(one, other) for one, other in pairs]


def _with_read_columns(rows: list[Row], parameters: Parameters) -> list[Row]:
    """Leaves out right answers in columns that a reward does not name, if it names one."""
    read = {*parameters.columns, *parameters.asked_for}
    if not any(name in rows[0] for name in read.intersection(GOLD_COLUMNS)):
        return rows
    return [{name: row[name] for name in row if name in read or name not in GOLD_COLUMNS} for row in rows]


def _more_forms(tags: ResponseFormat) -> list[tuple[str, Callable[[str], str]]]:
    think, own = tags.think_tag, tags.answer_tag
    return [
        ("in a fence of Python", lambda x: f"```python\n{x}\n```"),
        ("in JSON", lambda x: json.dumps({"answer": x}, ensure_ascii=False)),
        ("in a sentence", lambda x: f"The answer is {x}."),
        ("in tags on lines", lambda x: f"<{think}>\n{TRACE}\n</{think}>\n<{own}>\n{x}\n</{own}>\n"),
        ("after a trace", lambda x: f"<{think}>\n{TRACE}\n</{think}>\n{x}"),
    ]


def _mean(values: Values, default: Any = None) -> Any:
    paid = [value for value in values if value is not None]
    return sum(paid) / len(paid) if paid else default


def _best_samples(pay: Pay, rows: list[Row], samples: Sequence[Sequence[str]]) -> tuple[Texts, Values]:
    texts: Texts = [None] * len(rows)
    pays: Values = [None] * len(rows)
    for place in range(max(map(len, samples), default=0)):
        asked = [own[place] if place < len(own) else None for own in samples[: len(rows)]]
        for i, value in enumerate(pay(rows, asked, "a sample")):
            before = pays[i]
            if value is not None and (before is None or value > before):
                texts[i], pays[i] = asked[i], value
    return texts, pays


def _exchanged(rows: list[Row], golds: Sequence[str | None]) -> Iterator[list[Row]]:
    """Puts other right answers, with all that goes with them, in the place of the own ones."""
    donors = list({gold: row for gold, row in zip(golds, rows, strict=True) if gold is not None}.items())
    places = {gold: place for place, (gold, _) in enumerate(donors)}
    for shift in range(1, DECOYS + 1):
        others: list[Row] = []
        for row, gold in zip(rows, golds, strict=True):
            donor = row if gold is None else donors[(places[gold] + shift) % len(donors)][1]
            if is_choice(row):
                donor = {"answer": (row["answer"] + shift) % len(row["options"])}
            moved = {name: donor[name] for name in GOLD_COLUMNS if name in row and name in donor}
            others.append({**row, **moved})
        yield others

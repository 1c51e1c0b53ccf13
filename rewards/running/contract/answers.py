"""Whether right answers are worth more than wrong ones, than none, and than all of them at once."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rewards.reading.options import LETTERS
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.samples import (
    Row,
    Sample,
    answer_samples,
    gold_column,
    gold_text,
    greedy_samples,
    is_choice,
    other_gold,
)
from rewards.running.contract.trial import LEAST_SAMPLES, Form, Speed, Trial, first_difference, write_value

ROWS_WITH_ANSWERS = 16
SHARE_OF_TIME = 0.3
SMALL_SHARE = 0.1  # of the largest gain from being right; less comes from the answers' lengths, not their truth
Values = Sequence[float | None]
SHOWN = 3
_NUMBER = re.compile(r"\d")


def check_answers(trial: Trial, form: Form, speed: Speed) -> Iterator[RewardProblem]:
    """Looks at what a reward pays, if the data has right answers and the reward reads them."""
    column = gold_column(trial.rows)
    count = int(SHARE_OF_TIME * trial.settings.max_seconds / max(speed.each, 1e-9) / 24)
    rows = trial.rows[: min(ROWS_WITH_ANSWERS, count)]
    if column is None or len(rows) < 1:
        return
    samples = answer_samples(rows, trial.settings.response_format)
    called = trial.call(samples, form)
    if called.problem is not None:
        yield called.problem
        return
    if not _reads(trial, samples, form, called.values, rows, column):
        if column in trial.description.parameters.columns:
            yield trial.problem("ignores_answer", column=column, forms=_forms_tried(samples))
        return
    pairs = _pairs(samples, called.values)
    gain = max((right - wrong for right, wrong, _ in pairs), default=0.0)
    right, wrong, sample = max(pairs, key=lambda pair: pair[1] - pair[0], default=(0.0, 0.0, samples[0]))
    if wrong - right > gain and first_difference([right], [wrong]) is not None:
        told = {"name": sample.name, "wrong": write_value(wrong), "right": write_value(right), "column": column}
        row = sample.place[0]
        yield trial.problem("wrong_above_right", **told, row=row + 1, gold=_gold(rows[row], column))
        return
    paid: dict[int, float] = {}  # of the rows whose right answer is told from a wrong one, in some form
    for right, wrong, sample in pairs:
        if right - wrong > SMALL_SHARE * gain:
            paid[sample.place[0]] = max(right, paid.get(sample.place[0], right))
    yield from _check_unpaid(trial, samples, rows, column, pairs, paid)
    yield from _check_greedy(trial, form, rows, paid)


def _reads(
    trial: Trial, samples: Sequence[Sample], form: Form, values: Values, rows: Sequence[Mapping[str, Any]], column: str
) -> bool:
    """Tells whether values change when the right answer of every row is another one."""
    others = [{**row, column: other_gold(rows, index, column)} for index, row in enumerate(rows)]
    called = trial.call([sample._replace(row=others[sample.place[0]]) for sample in samples], form)
    return called.problem is not None or first_difference(values, called.values) is not None


def _pairs(samples: Sequence[Sample], values: Values) -> list[tuple[float, float, Sample]]:
    """Pairs the values of the right and the wrong answer of a place, with the wrong sample; None has no pair."""
    right = {sample.place: value for sample, value in zip(samples, values, strict=True) if sample.role == "right"}
    return [
        (good, value, sample)
        for sample, value in zip(samples, values, strict=True)
        if sample.role == "wrong" and value is not None and (good := right[sample.place]) is not None
    ]


def _check_unpaid(
    trial: Trial,
    samples: Sequence[Sample],
    rows: Sequence[Mapping[str, Any]],
    column: str,
    pairs: Sequence[tuple[float, float, Sample]],
    paid: Mapping[int, float],
) -> Iterator[RewardProblem]:
    scored = {sample.place[0]: right for right, _, sample in pairs}
    unpaid = [index for index in scored if index not in paid]
    if not unpaid:
        return
    first, counts = unpaid[0], {"count": len(unpaid), "of": len(scored), "forms": _forms_tried(samples)}
    told = {"column": column, "gold": _gold(rows[first], column), "value": write_value(scored[first])}
    yield trial.problem("right_below_maximum", row=first + 1, **told, **counts)


def _check_greedy(
    trial: Trial, form: Form, rows: Sequence[Mapping[str, Any]], paid: Mapping[int, float]
) -> Iterator[RewardProblem]:
    greedy = greedy_samples(rows[:LEAST_SAMPLES], trial.settings.response_format)
    called = trial.call(greedy, form)
    if called.problem is not None:
        return  # said of the odd responses
    found: dict[str, dict[int, bool]] = {}  # by name, whether it is paid in full on a row, in every order
    first: dict[str, tuple[Sample, float]] = {}
    for sample, value in zip(greedy, called.values, strict=True):
        if (row := sample.place[0]) in paid:
            is_paid = value is not None and value >= paid[row]
            found.setdefault(sample.name, {})[row] = is_paid and found.get(sample.name, {}).get(row, True)
            if value is not None and is_paid:
                first.setdefault(sample.name, (sample, value))
    nothing = [each for each in first.values() if each[0].role == "nothing"]
    every = [first[name] for name, rows_of in found.items() if 2 * sum(rows_of.values()) > len(rows_of)]
    if nothing:
        sample, value = nothing[0]
        yield trial.problem("pays_nothing", name=sample.name, value=write_value(value))
    elif every:
        sample, value = every[0]
        last_line, on = sample.text.strip().splitlines()[-1], found[sample.name].values()
        told = {"name": sample.name, "text": last_line, "value": write_value(value), "s": "s" * (len(on) > 1)}
        yield trial.problem("pays_every_answer", **told, on=sum(on), of=len(on))


def _gold(row: Mapping[str, Any], column: str) -> str:
    if is_choice(row):
        return f"{row['answer']}, {row['options'][row['answer']]!r:.40}"
    return f"{gold_text(row, column)!r:.60}"


def _forms_tried(samples: Sequence[Sample]) -> str:
    names = [sample.name.removeprefix("the right answer ") for sample in samples if sample.role == "right"]
    return ", ".join(dict.fromkeys(names))


def name_the_golds(trial: Trial) -> str:
    """Says what right answers the rows hold, and which reward grades them; empty for numbers, or if none is read."""
    column, read = gold_column(trial.rows), trial.description.parameters.columns
    if trial.is_synthetic or column is None or column not in read:
        return ""
    if column == "answer" and all(is_choice(row) for row in trial.rows):
        return "" if "options" in read else _of_options(trial.rows[0])
    golds = list(dict.fromkeys(text for row in trial.rows if (text := gold_text(row, column))))
    if not golds or any(_NUMBER.search(gold) for gold in golds):
        return ""
    shown = ", ".join(f"{gold!r:.40}" for gold in golds[:SHOWN])
    if all(len(gold) == 1 and gold.upper() in LETTERS for gold in golds):
        beside = "" if "options" in trial.rows[0] else ", beside a column `options`: the list of their texts"
        return f"The right answers, `{column}`, are letters ({shown}) and no numbers: `accuracy` grades them{beside}."
    return f"The right answers, `{column}`, are texts without a number ({shown}): `text_accuracy` compares those."


def _of_options(row: Row) -> str:
    right = row["answer"]
    first = f"row 1: {right}, which is {LETTERS[right]}, {row['options'][right]!r:.40}"
    return (
        f"The right answers, `answer`, are indices into `options` ({first}), and responses name a letter or a text: "
        "`accuracy` grades them."
    )

"""What an answer owes to its trace: second answers from changed traces, and what a trace gives away."""

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.data.questions.multiple_choice import Question
from align.evaluation.policies.asker import Asker
from align.evaluation.policies.items import ItemResult
from align.evaluation.policies.trace_edits import (
    CORRUPTED,
    CORRUPTED_STEPS,
    corrupt_numbers,
    corrupt_order,
    corrupt_steps,
    corrupt_words,
    donors,
    replace_trace,
)
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Choice, Values, accuracy
from align.models.policies.asking import Answered, LetterQuestion
from rewards.reading.steps import steps_of
from rewards.reading.traces import mask_answers, names_letter, quotes_answer

EDITED = ("corrupted_numbers", "corrupted_steps", "corrupted_order")  # not asked of a trace that has nothing to edit
CONDITIONS = ("own", "none", "other", "masked", *(f"corrupted_{percent}" for percent in CORRUPTED), *EDITED)
_MOST_DRAWN = 5000  # words and steps from which others are drawn; more would only cost time


class _Pool(NamedTuple):
    """What replaces parts of a trace, taken from all traces."""

    words: list[str]
    steps: list[str]


def probe_traces(
    asker: Asker, questions: Sequence[Question], items: Sequence[ItemResult], firsts: Sequence[Answered], seed: int
) -> dict[str, list[Any]]:
    """Asks for the answer again from the own trace, none, another item's, the own one masked, and corrupted ones.

    Options stand in the order of the item's first shuffle, so that a copied letter is no answer from the trace; where
    they may not be moved, as written. A response without trace or answer is not asked.

    Args:
        asker: The policy.
        questions: `(N,)` the question of each item.
        items: Its result.
        firsts: Its first answer.
        seed: Of donors and of corruption.

    Returns:
        Columns by name, `(N,)` each: `<condition>_choice`, `masked_trace` and `other_id`.
    """
    chosen_donors = donors([item.id for item in items], [item.trace for item in items], seed)
    pool = _Pool(
        _draw((word for item in items for word in (item.trace or "").split()), f"{seed}/words"),
        _draw((step.strip() for item in items for step in steps_of(item.trace or "")), f"{seed}/steps"),
    )
    groups: list[list[LetterQuestion]] = []
    named: list[list[str]] = []
    for i, (question, item, first) in enumerate(zip(questions, items, firsts, strict=True)):
        donor = chosen_donors[i]
        traces = _traces(question, item, None if donor is None else items[donor].trace, pool, seed)
        if first.before_letter is None:
            traces = {}
        named.append(list(traces))
        groups.append([_row(asker, question, item, first, trace) for trace in traces.values()])
    answers = asker.choose("changed traces", groups)
    found: list[dict[str, Choice]] = [
        dict(zip(names, choices, strict=True)) for names, choices in zip(named, answers, strict=True)
    ]
    for item, each in zip(items, found, strict=True):
        if item.second_choices:
            each["own"] = item.second_choices[0]  # asked before, in the same order
    columns: dict[str, list[Any]] = {f"{name}_choice": [each.get(name) for each in found] for name in CONDITIONS}
    columns["masked_trace"] = [
        mask_answers(item.trace, question.options) if item.trace else None
        for question, item in zip(questions, items, strict=True)
    ]
    columns["other_id"] = [None if donor is None else items[donor].id for donor in chosen_donors]
    return columns


def leaks(questions: Sequence[Question], items: Sequence[ItemResult]) -> dict[str, list[bool | None]]:
    """Tells of each trace whether it names an option's letter, and whether it holds the text of the answer given."""
    letter: list[bool | None] = []
    answer: list[bool | None] = []
    for question, item in zip(questions, items, strict=True):
        given = item.first_choice
        letter.append(names_letter(item.trace, len(question.options)) if item.trace else None)
        answer.append(
            None if not item.trace else given is not None and quotes_answer(item.trace, question.options, given)
        )
    return {"letter_in_trace": letter, "answer_in_trace": answer}


def reliance_values(items: Sequence[ItemResult], columns: Mapping[str, Sequence[Any]]) -> dict[str, ItemMean]:
    """Returns each metric of reliance and leaks as per-item values, `nan` where it does not speak of the item.

    `same_answer/<condition>` is 1 if the answer from that trace is the first answer, `accuracy_from/<condition>` if it
    is right, `trace_reliance` is accuracy from the own trace minus that from none.
    """
    gold = [item.gold for item in items]
    metrics: dict[str, ItemMean] = {}
    right: dict[str, Values] = {}
    for name in CONDITIONS:
        choices: Sequence[Choice] = columns[f"{name}_choice"]
        asked = np.array([choice is not None for choice in choices])
        same = np.array([float(a == item.first_choice) for a, item in zip(choices, items, strict=True)])
        right[name] = np.where(asked, accuracy(choices, gold), np.nan)
        metrics[f"same_answer/{name}"] = ItemMean((np.where(asked, same, np.nan),))
    metrics |= {f"accuracy_from/{name}": ItemMean((values,)) for name, values in right.items()}
    metrics["trace_reliance"] = ItemMean((right["own"] - right["none"],), bounds=(-1.0, 1.0))
    letter, answer = (_numbers(columns[name]) for name in ("letter_in_trace", "answer_in_trace"))
    metrics |= {"letter_in_trace": ItemMean((letter,)), "answer_in_trace": ItemMean((answer,))}
    metrics["letter_or_answer_in_trace"] = ItemMean((np.maximum(letter, answer),))
    return metrics


def _traces(question: Question, item: ItemResult, other: str | None, pool: _Pool, seed: int) -> dict[str, str | None]:
    """Lists the traces to answer from; None stands for the own one, unchanged."""
    if not item.trace:
        return {}
    traces: dict[str, str | None] = {"none": ""} if item.second_choices else {"own": None, "none": ""}
    if other is not None:
        traces["other"] = other
    traces["masked"] = mask_answers(item.trace, question.options)
    for percent in CORRUPTED:
        rng = random.Random(f"{seed}/{item.id}/corrupted")
        traces[f"corrupted_{percent}"] = corrupt_words(item.trace, percent, pool.words, rng)
    rngs = [random.Random(f"{seed}/{item.id}/{name}") for name in EDITED]
    edited = (
        corrupt_numbers(item.trace, rngs[0]),
        corrupt_steps(item.trace, CORRUPTED_STEPS, pool.steps, rngs[1]),
        corrupt_order(item.trace, rngs[2]),
    )
    return traces | {name: trace for name, trace in zip(EDITED, edited, strict=True) if trace != item.trace}


def _draw(found: Iterable[str], seed: str) -> list[str]:
    different = sorted(set(found))
    return random.Random(seed).sample(different, min(len(different), _MOST_DRAWN))


def _row(asker: Asker, question: Question, item: ItemResult, first: Answered, trace: str | None) -> LetterQuestion:
    order = tuple(item.permutations[0]) if item.permutations else tuple(range(len(question.options)))
    if trace is None:
        return LetterQuestion(question, order, first.before_letter or "", first)
    text = first.completion.text
    return LetterQuestion(question, order, replace_trace(text, first.response, trace, asker.response_format))


def _numbers(values: Sequence[bool | None]) -> Values:
    return np.array([np.nan if value is None else float(value) for value in values])

"""Both answers to questions with options: read, and asked for behind the same trace, by whichever trainer."""

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from align.methods.acre.rules import check_answer
from rewards.reading.options import can_shuffle, draw_permutation, parse_choice, permute, to_content
from rewards.reading.responses import DEFAULT_FORMAT, Response, ResponseFormat, completion_text, parse_response


def take_letter(log_probs: Sequence[float], temperature: float, rng: random.Random) -> int:
    """Takes the likeliest of K letters, the first of a tie; with a temperature above 0 one is sampled.

    Example:
        >>> take_letter([-2.0, -0.1, -3.0], 0, random.Random(0))
        1
    """
    best = max(range(len(log_probs)), key=log_probs.__getitem__)
    if not temperature:
        return best
    weights = [math.exp((each - log_probs[best]) / temperature) for each in log_probs]
    return rng.choices(range(len(weights)), weights)[0]


class AnsweredRow(NamedTuple):
    """One response with both answers, as indices into the row's options."""

    options: list[str]
    gold: int | None  # None where nobody knows it
    trace: str | None
    first: int | None
    second: list[int | None] | None  # what rewards get: one per shuffle; None where none was to be asked again
    permutations: list[tuple[int, ...]]  # none where it was not asked again, also where options cannot be shuffled

    def is_right(self) -> bool | None:
        """Tells whether the first answer is right; None where nobody knows."""
        return None if self.gold is None else self.first == self.gold

    def given(self) -> list[int | None]:
        """Lists the second answers that were given; where options cannot be shuffled, rewards get the first one."""
        return (self.second or []) if self.permutations else []

    def columns(self) -> dict[str, Any]:
        """Returns what rewards get."""
        return {"first_choice": self.first, "second_choices": self.second}


class Again(NamedTuple):
    """A question that is asked again, in another order, behind the trace of its first response."""

    row: int  # its index
    order: tuple[int, ...]  # indices of the row's options
    options: list[str]  # in this order, as letters name them
    response: Response  # the first one, whose answer begins at `answer_start` of its text


Score = Callable[[list[Again]], Iterable[Sequence[float]]]


def answer_twice(
    rows: Sequence[Mapping[str, Any]],
    completions: Sequence[Any],
    score: Score | None,
    *,
    draw: Callable[[Mapping[str, Any], int], Sequence[tuple[int, ...]]] | None = None,
    take: Callable[[Mapping[str, Any], int, list[Sequence[float]]], Sequence[int]] | None = None,
    is_needed: Callable[[bool | None], bool] = lambda is_right: True,
    response_format: ResponseFormat = DEFAULT_FORMAT,
) -> list[AnsweredRow]:
    """Reads the first answers of completions and asks `score` for second ones; `columns` of each are for rewards.

    Args:
        rows: With `question`, `options` (texts) and, where it is known, `answer`, the index of the right one.
        completions: One per row, texts or messages.
        score: Returns the log-probs of the letters of each `Again`, in their order; it is called once, also with
            none. With None nothing is asked again.
        draw: Returns the orders of a row, by its index; by default one, the same for each visit of a question.
        take: Returns which letter each of a row's log-probs answers with; by default the likeliest.
        is_needed: Tells of a right, a wrong or an unknown (None) first answer whether the row is asked again.
        response_format: Tags of trace and answer.

    Example:
        >>> row = {"question": "Which rusts?", "options": ["tin", "iron"], "answer": 1}
        >>> letter = lambda asked: [[float(text == "iron") for text in each.options] for each in asked]
        >>> (found,) = answer_twice([row], ["<think>Iron.</think><answer>B</answer>"], letter)
        >>> found.columns()
        {'first_choice': 1, 'second_choices': [1]}
    """
    answered: list[AnsweredRow] = []
    asked: list[Again] = []
    for index, (row, completion) in enumerate(zip(rows, completions, strict=True)):
        if missing := {"question", "options"} - row.keys():
            raise ValueError(f"Row {index} has no {' and no '.join(sorted(missing))}; its columns: {', '.join(row)}.")
        check_answer(row)
        response = parse_response(completion_text(completion), response_format)
        first = parse_choice(response.answer, row["options"])
        found = AnsweredRow(row["options"], row.get("answer"), response.trace, first, None, [])
        if score and response.trace is not None and first is not None and is_needed(found.is_right()):
            orders = list((draw or _draw_one)(row, index))
            if can_shuffle(found.options):
                found = found._replace(permutations=orders)
                asked += [Again(index, order, permute(found.options, order), response) for order in orders]
            else:  # the row is rewarded as in GRPO
                found = found._replace(second=[first] * len(orders))
        answered.append(found)
    found_scores = list(score(asked)) if score else []
    if (got := [*map(len, found_scores)]) != (sizes := [len(each.options) for each in asked]):
        raise ValueError(f"`score` must return one log-prob per option of each question, {sizes} of them; got {got}.")
    scores = iter(found_scores)
    for index, found in enumerate(answered):
        if found.permutations:
            letters = (take or _take_likeliest)(rows[index], index, [next(scores) for _ in found.permutations])
            second = [to_content(letter, order) for letter, order in zip(letters, found.permutations, strict=True)]
            answered[index] = found._replace(second=second)
    return answered


def _draw_one(row: Mapping[str, Any], index: int) -> list[tuple[int, ...]]:
    return [draw_permutation(row["options"], random.Random(row["question"]))]


def _take_likeliest(row: Mapping[str, Any], index: int, scores: list[Sequence[float]]) -> list[int]:
    return [take_letter(each, 0, random.Random()) for each in scores]

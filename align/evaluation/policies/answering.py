"""First answers, and second answers from the same trace after the options were put in other orders."""

import random
from collections.abc import Sequence

from align.data.questions.multiple_choice import Question
from align.evaluation.policies.asker import Asker
from align.evaluation.policies.items import ItemResult
from align.evaluation.statistics.metrics import Choice
from align.models.policies.asking import Answered, Decoding, LetterQuestion
from rewards.reading.options import anchored, can_shuffle, draw_permutation
from rewards.reading.traces import stated_choice

Order = tuple[int, ...]


def shuffles(question: Question, num_shuffles: int, seed: int) -> list[Order]:
    """Draws M orders that are not the original one; none if the options may not be moved.

    They depend on `seed` and the question's id only, so every policy sees the same ones.
    """
    if not can_shuffle(question.options):
        return []
    rng = random.Random(f"{seed}/{question.id}")
    return [draw_permutation(question.options, rng, exclude_identity=True) for _ in range(num_shuffles)]


def rotations(question: Question) -> list[Order]:
    """Lists the orders in which each movable option stands once in each movable place, the original one left out.

    Example:
        >>> rotations(Question("q", "?", ("iron", "gold", "zinc", "none of these"), 0, None, (), 1))
        [(1, 2, 0, 3), (2, 0, 1, 3)]
    """
    if not can_shuffle(question.options):
        return []
    movable = [i for i, fixed in enumerate(anchored(question.options)) if not fixed]
    orders = []
    for shift in range(1, len(movable)):
        order = list(range(len(question.options)))
        for place, source in zip(movable, movable[shift:] + movable[:shift], strict=True):
            order[place] = source
        orders.append(tuple(order))
    return orders


def second_answers(
    asker: Asker,
    questions: Sequence[Question],
    firsts: Sequence[Answered],
    orders: Sequence[Sequence[Order]],
    *,
    stage: str = "shuffled options",
) -> list[list[Choice] | None]:
    """Returns the second answers by question, as indices into its own options.

    Returns:
        M answers; an empty list for a question with no order to show, `None` for a response without trace or answer.
    """
    groups: list[list[LetterQuestion]] = []
    for question, first, shown in zip(questions, firsts, orders, strict=True):
        prefix = first.before_letter
        groups.append([] if prefix is None else [LetterQuestion(question, order, prefix, first) for order in shown])
    asked = [i for i, group in enumerate(groups) if group]
    answers = dict(zip(asked, asker.choose(stage, [groups[i] for i in asked]), strict=True))
    return [[*answers[i]] if i in answers else None if shown else [] for i, shown in enumerate(orders)]


def answer_questions(
    asker: Asker,
    questions: Sequence[Question],
    decoding: Decoding,
    *,
    num_shuffles: int,
    seed: int = 0,
) -> tuple[list[ItemResult], list[Answered]]:
    """Answers each question, then again after each of `num_shuffles` shuffles with the trace fixed.

    Args:
        asker: The policy.
        questions: What to ask.
        decoding: Of the first answers.
        num_shuffles: M, the shuffles of each question; 0 asks for no second answer.
        seed: Of the shuffles.

    Returns:
        One result and one first answer per question and sample, the S samples of a question next to each other.
    """
    responses = asker.respond(questions, decoding)
    owners = [question for question, each in zip(questions, responses, strict=True) for _ in each]
    firsts = [first for each in responses for first in each]
    orders = [shuffles(question, num_shuffles, seed) for question in owners]
    seconds = second_answers(asker, owners, firsts, orders)
    items = [_result(*row) for row in zip(owners, firsts, orders, seconds, strict=True)]
    return items, firsts


def _result(question: Question, first: Answered, orders: Sequence[Order], second: list[Choice] | None) -> ItemResult:
    return ItemResult(
        id=question.id,
        group=question.group,
        gold=question.answer,
        first_choice=first.choice,
        second_choices=second,
        permutations=[list(order) for order in orders],
        trace=first.response.trace,
        completion=first.completion.text,
        trace_choice=stated_choice(first.response.trace, question.options),
    )

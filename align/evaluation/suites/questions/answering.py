"""Answers to questions, item by item: first ones, second ones from the same trace, and what a judge reads in it."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import DataError
from align.evaluation.asking import Asker
from align.evaluation.record import Record, scores_record
from align.evaluation.statistics.metrics import (
    Choice,
    Estimate,
    Values,
    accuracy,
    cr_wa,
    option_shuffle_consistency,
    paired_difference,
    share,
    trace_answer_consistency,
    wr_ca,
)
from align.models.policies.asking import Answered, Decoding, LetterQuestion
from rewards.reading.options import anchored, can_shuffle, draw_permutation
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat
from rewards.reading.traces import stated_choice

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin


@dataclass(frozen=True)
class ItemResult:
    """The answers of a policy to one question; choices are indices into the question's own options."""

    id: str
    group: str | None
    gold: int
    first_choice: Choice  # to the question as written; None if there is not exactly one answer
    # from the same trace, of M shuffles; None without trace or answer, [] if options may not be moved
    second_choices: list[Choice] | None
    permutations: list[list[int]]  # the orders shown, M of K indices
    trace: str | None
    completion: str  # the whole response
    trace_choice: Choice  # the option that the trace states, read without a judge


def item_values(items: Sequence[ItemResult]) -> dict[str, Values]:
    """Returns each metric as `(N,)` per-item values, `nan` where it does not speak of the item."""
    first, gold = [item.first_choice for item in items], [item.gold for item in items]
    second = [item.second_choices for item in items]
    values = {
        "accuracy": accuracy(first, gold),
        "option_shuffle_consistency": option_shuffle_consistency(first, second),
        "share_A": np.array([np.nan if choice is None else float(choice == 0) for choice in first]),
        **trace_values(items),
        "answered": np.array([float(choice is not None) for choice in first]),
    }
    if max((len(choices or []) for choices in second), default=0) > 1:
        values["option_shuffle_consistency_all"] = option_shuffle_consistency(first, second, every=True)
    return values


def trace_values(items: Sequence[ItemResult]) -> dict[str, Values]:
    """Returns what the options that traces state say of the answers, as `(N,)` per-item values."""
    stated, first = [item.trace_choice for item in items], [item.first_choice for item in items]
    gold = [item.gold for item in items]
    return {
        "trace_answer_consistency": trace_answer_consistency(stated, first),
        "cr_wa": cr_wa(stated, first, gold),
        "wr_ca": wr_ca(stated, first, gold),
        "trace_stated": np.array([float(choice is not None) for choice in stated]),
    }


def summarise(items: Sequence[ItemResult]) -> dict[str, Estimate]:
    """Estimates every metric of one policy, each over the items that it speaks of."""
    return {name: share(values) for name, values in item_values(items).items()}


def evaluation_record(policies: Mapping[str, Sequence[ItemResult]], baseline: str | None = None) -> Record:
    """Arranges what is kept of policies: a summary of each, and paired differences to a baseline if there is one."""
    if baseline is not None and baseline not in policies:
        raise ValueError(f"`baseline` must be one of the policies ({', '.join(policies)}), got {baseline!r}.")
    differences = {
        name: {baseline: item_differences(items, policies[baseline])}
        for name, items in policies.items()
        if baseline not in (None, name)
    }
    return scores_record({name: summarise(items) for name, items in policies.items()}, differences)


def item_differences(items: Sequence[ItemResult], baseline: Sequence[ItemResult]) -> dict[str, Estimate]:
    """Estimates each metric's difference to a baseline over the questions of which it speaks for both."""
    by_id = {item.id: item for item in baseline}
    missing = [item.id for item in items if item.id not in by_id]
    if missing or len(items) != len(by_id):
        raise ValueError(
            f"Paired differences need the same questions; got {len(items)} and {len(by_id)} ids"
            + (f", and {missing[0]!r} only on one side." if missing else ".")
        )
    ours, theirs = item_values(items), item_values([by_id[item.id] for item in items])
    return {name: paired_difference(ours[name], theirs[name]) for name in ours if name in theirs}


Judge = Callable[[Sequence[Question], Sequence[str | None]], list[Choice]]  # the option each trace states, or None
NOTHING_STATED = "None of the options"
INSTRUCTION = """Below is a question with options, and somebody's reasoning about it. Do not solve the question. Say \
which option the reasoning concludes with, whether that is right or wrong.

Question: {question}

Reasoning: {trace}

Which option does the reasoning conclude with?"""


def judge_traces(asker: Asker, questions: Sequence[Question], traces: Sequence[str | None]) -> list[Choice]:
    """Returns the option that each trace states, None without a trace or an option, by one forward pass per trace."""
    groups = [[_judged(*row)] if row[1] else [] for row in zip(questions, traces, strict=True)]
    asked = [i for i, group in enumerate(groups) if group]
    answers = dict(zip(asked, asker.choose("judging", [groups[i] for i in asked]), strict=True))
    choices = [answers[i][0] if i in answers else None for i in range(len(questions))]
    return [
        None if choice == len(question.options) else choice
        for question, choice in zip(questions, choices, strict=True)
    ]


def _judged(question: Question, trace: str | None) -> LetterQuestion:
    """Asks which option a trace states, with "none of the options" as the last choice."""
    shown = replace(
        question,
        question=INSTRUCTION.format(question=question.question, trace=trace),
        options=(*question.options, NOTHING_STATED),
        images=(),  # a trace is read, whatever it is about
    )
    return LetterQuestion(shown, tuple(range(len(shown.options))), "The reasoning concludes with option ")


def judged(items: Sequence[ItemResult], choices: Sequence[Choice]) -> list[ItemResult]:
    """Returns the items with a judge's reading of their traces."""
    return [replace(item, trace_choice=choice) for item, choice in zip(items, choices, strict=True)]


Order = tuple[int, ...]


def shuffles(question: Question, num_shuffles: int, seed: int) -> list[Order]:
    """Draws M orders other than the original, by `seed` and the question's id only; none if options may not move."""
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
    """Returns M second answers by question; empty without an order to show, None without a trace or an answer."""
    groups: list[list[LetterQuestion]] = []
    for question, first, shown in zip(questions, firsts, orders, strict=True):
        prefix = first.before_letter
        groups.append([] if prefix is None else [LetterQuestion(question, order, prefix, first) for order in shown])
    asked = [i for i, group in enumerate(groups) if group]
    answers = dict(zip(asked, asker.choose(stage, [groups[i] for i in asked]), strict=True))
    return [[*answers[i]] if i in answers else None if shown else [] for i, shown in enumerate(orders)]


def answer_questions(
    asker: Asker, questions: Sequence[Question], decoding: Decoding, *, num_shuffles: int, seed: int = 0
) -> tuple[list[ItemResult], list[Answered]]:
    """Answers each question, S samples next to each other, then again after each shuffle with the trace fixed."""
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


def evaluate_policy(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase | ProcessorMixin",
    questions: Sequence[Question],
    *,
    template: PromptTemplate,
    response_format: ResponseFormat = DEFAULT_FORMAT,
    num_shuffles: int = 1,
    max_new_tokens: int = 256,
    batch_size: int = 32,
    seed: int = 0,
) -> list[ItemResult]:
    """Answers each question greedily, then again after each of `num_shuffles` shuffles with the trace fixed.

    A shuffle depends on `seed` and the question's id only, and is never the original order, which any policy would
    survive. The model is left in the mode it was in. A response that is cut off before its answer has none.
    """
    from align.models.policies.model_policy import make_policy, reads_images

    check_questions(questions, reads_images=reads_images(tokenizer), model=model.name_or_path or "the model")
    for name, count in (("num_shuffles", num_shuffles), ("batch_size", batch_size)):
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1, got {count}.")
    asker = Asker(make_policy(model, tokenizer, template, batch_size=batch_size), response_format=response_format)
    decoding = Decoding(max_new_tokens=max_new_tokens)
    was_training = model.training
    model.train(False)
    try:
        return answer_questions(asker, questions, decoding, num_shuffles=num_shuffles, seed=seed)[0]
    finally:
        model.train(was_training)


def check_questions(questions: Sequence[Question], *, reads_images: bool, model: str) -> None:
    """Checks that there are questions, and that a model can read all of them."""
    if not questions:
        raise DataError("`questions` must hold at least one question, got none.")
    with_images = next((question.id for question in questions if question.images), None)
    if with_images is not None and not reads_images:
        raise DataError(
            f"Question {with_images!r} has images, and {model} reads text only. Evaluate a vision-language model, or "
            "leave such questions out."
        )

"""Answers of policies in short: every metric of one pass over the questions, for the quickstart and the labs."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import DataError
from align.evaluation.asking import Asker
from align.evaluation.record import Record, scores_record
from align.evaluation.statistics.metrics import (
    Estimate,
    Values,
    accuracy,
    mean_of_differences,
    option_shuffle_consistency,
    share,
)
from align.evaluation.suites.questions.answering import ItemResult, answer_questions, trace_values
from align.models.policies.asking import Decoding
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin


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
    shared = [name for name in ours if name in theirs]
    return {name: mean_of_differences(np.subtract(ours[name], theirs[name], dtype=float)) for name in shared}


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

"""Asks a model in memory multiple-choice questions: greedy first answers, then second answers from the same trace."""

from collections.abc import Sequence

from transformers import PreTrainedModel, PreTrainedTokenizerBase, ProcessorMixin

from align.data.questions.multiple_choice import Question
from align.data.questions.templates import PromptTemplate
from align.errors import DataError
from align.evaluation.asking import Asker
from align.evaluation.suites.questions.answering import ItemResult, answer_questions, summarise
from align.models.policies.asking import Decoding
from align.models.policies.vision_policy import make_policy, reads_images
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat

__all__ = ["ItemResult", "check_questions", "evaluate_policy", "summarise"]


def evaluate_policy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase | ProcessorMixin,
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

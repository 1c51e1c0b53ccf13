"""Asks a policy multiple-choice questions: greedy first answers, then second answers from the same trace."""

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from align.data.multiple_choice import Question
from align.data.prompts import PromptTemplate
from align.evaluation.items import ItemResult, summarise
from align.generation.answer_place import answer_place
from align.generation.second_pass import SecondPassRow, score_letters
from rewards.options import can_shuffle, draw_permutation, parse_choice, permute, to_content
from rewards.responses import DEFAULT_FORMAT, Response, ResponseFormat, parse_response
from rewards.traces import stated_choice

__all__ = ["ItemResult", "evaluate_policy", "summarise"]

_CONSISTENCY_BATCHES = 4  # a second pass holds no generation cache, so it takes larger batches than the first
# All of it, because a checkpoint's own generation config (a repetition penalty, say) fills in what is not given.
_GREEDY = {
    "do_sample": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "repetition_penalty": 1.0,
}


class _FirstPass(NamedTuple):
    """One greedy response."""

    completion_ids: list[int]
    text: str
    response: Response
    choice: int | None


def evaluate_policy(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
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

    The first answer is to the options as written. A shuffle depends on `seed` and the question's id only, so every
    policy sees the same ones, and it is never the original order, which any policy would survive.

    Args:
        model: The policy; it is left in the mode it was in.
        tokenizer: Its tokenizer, with a padding token.
        questions: Text questions.
        template: Renders a question and its options as a prompt, as in training.
        response_format: Tags of trace and answer.
        num_shuffles: M, the shuffles of each question.
        max_new_tokens: Longest response; one that is cut off before its answer has none.
        batch_size: Responses generated at once.
        seed: Seed of the shuffles.

    Returns:
        One result per question, in their order.

    Raises:
        ValueError: If there is no question, one has images, or a number is out of range.
    """
    _check(questions, tokenizer, num_shuffles=num_shuffles, max_new_tokens=max_new_tokens, batch_size=batch_size)
    was_training = model.training
    model.train(False)
    try:
        prompts = [_encode(tokenizer, template.render(q.question, q.options)) for q in questions]
        completions = _generate(model, tokenizer, prompts, max_new_tokens, batch_size)
        firsts = [_read(tokenizer, q, ids, response_format) for q, ids in zip(questions, completions, strict=True)]
        permutations = [_permutations(question, num_shuffles, seed) for question in questions]
        seconds = _ask_again(model, tokenizer, questions, firsts, permutations, template, batch_size)
    finally:
        model.train(was_training)
    return [_result(*row) for row in zip(questions, firsts, permutations, seconds, strict=True)]


def _check(questions: Sequence[Question], tokenizer: PreTrainedTokenizerBase, **counts: int) -> None:
    if not questions:
        raise ValueError("`questions` must hold at least one question, got none.")
    with_images = next((question.id for question in questions if question.images), None)
    if with_images is not None:
        raise ValueError(f"`evaluate_policy` reads text only, and question {with_images!r} has images.")
    if tokenizer.pad_token_id is None:
        raise ValueError("`tokenizer` needs a padding token. Set `tokenizer.pad_token = tokenizer.eos_token`.")
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"`{name}` must be at least 1, got {count}.")


def _encode(tokenizer: PreTrainedTokenizerBase, prompt: Any) -> list[int]:
    if isinstance(prompt, str):
        return list(tokenizer(prompt)["input_ids"])
    return list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=True, return_dict=False))


def _generate(
    model: Any,  # `PreTrainedModel` does not declare `generate`
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[int]],
    max_new_tokens: int,
    batch_size: int,
) -> list[list[int]]:
    """Decodes greedily in batches of similar length; completions come without the end token and what follows it."""
    end = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(end if isinstance(end, list) else [end])} - {None}
    settings = _GREEDY | {"max_new_tokens": max_new_tokens, "pad_token_id": tokenizer.pad_token_id}
    completions: list[list[int]] = [[] for _ in prompts]
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        padded = tokenizer.pad(
            {"input_ids": [prompts[i] for i in batch]}, padding_side="left", return_tensors="pt"
        ).to(model.device)
        with torch.no_grad():
            output = model.generate(**padded, **settings, eos_token_id=sorted(ends) or None)
        for i, ids in zip(batch, output[:, padded["input_ids"].shape[1] :].tolist(), strict=True):
            completions[i] = ids[: next((place for place, token in enumerate(ids) if token in ends), len(ids))]
    return completions


def _read(
    tokenizer: PreTrainedTokenizerBase,
    question: Question,
    completion_ids: list[int],
    response_format: ResponseFormat,
) -> _FirstPass:
    text = str(tokenizer.decode(completion_ids, skip_special_tokens=True))
    response = parse_response(text, response_format)
    return _FirstPass(completion_ids, text, response, parse_choice(response.answer, question.options))


def _permutations(question: Question, num_shuffles: int, seed: int) -> list[tuple[int, ...]]:
    if not can_shuffle(question.options):
        return []
    rng = random.Random(f"{seed}/{question.id}")
    return [draw_permutation(question.options, rng, exclude_identity=True) for _ in range(num_shuffles)]


def _ask_again(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Question],
    firsts: list[_FirstPass],
    permutations: list[list[tuple[int, ...]]],
    template: PromptTemplate,
    batch_size: int,
) -> list[list[int | None] | None]:
    """Returns the second answers by question, as indices into its own options."""
    rows: list[SecondPassRow] = []
    owners: list[tuple[int, tuple[int, ...]]] = []
    for i, (question, first) in enumerate(zip(questions, firsts, strict=True)):
        if first.response.trace is not None and first.choice is not None and permutations[i]:
            place = answer_place(tokenizer, first.completion_ids, first.text, first.response, len(question.options))
            for permutation in permutations[i]:
                shuffled = template.render(question.question, permute(question.options, permutation))
                rows.append(SecondPassRow(_encode(tokenizer, shuffled), place.prefix_ids, place.letter_ids))
                owners.append((i, permutation))
    scores = score_letters(
        model, rows, pad_token_id=tokenizer.pad_token_id, batch_size=_CONSISTENCY_BATCHES * batch_size
    )
    seconds: list[list[int | None] | None] = [None if orders else [] for orders in permutations]
    for (i, permutation), letter_scores in zip(owners, scores, strict=True):
        shown = max(range(len(letter_scores)), key=letter_scores.__getitem__)
        seconds[i] = [*(seconds[i] or []), to_content(shown, permutation)]
    return seconds


def _result(
    question: Question, first: _FirstPass, permutations: list[tuple[int, ...]], second: list[int | None] | None
) -> ItemResult:
    return ItemResult(
        id=question.id,
        group=question.group,
        gold=question.answer,
        first_choice=first.choice,
        second_choices=second,
        permutations=[list(permutation) for permutation in permutations],
        trace=first.response.trace,
        completion=first.text,
        trace_choice=stated_choice(first.response.trace, question.options),
    )

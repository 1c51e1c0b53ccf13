"""Pairs as tokens: prompt and responses as a trainer of preferences reads them, and which tokens are marked."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from align.data.pairs.marks import MarkRule, TokenizedResponse, count_shared, decide_marks, marked_texts
from align.data.pairs.preferences import PreferencePair
from align.data.template_settings import template_settings
from align.errors import DataError, UserError
from align.models.reading import render

RULE = MarkRule("differing", "word", "drop", max_length=None)  # a pair without spans has no marked tokens


class TokenizedPair(NamedTuple):
    """A pair as tokens.

    Attributes:
        prompt: How many of the first tokens are the prompt.
        chosen: Prompt and better response.
        rejected: Prompt and worse response.
        chosen_marks: 1 for each token of the response that is marked.
        rejected_marks: The same of the other.
        images: What the model reads of the images in the prompt beside their tokens.
    """

    prompt: int
    chosen: list[int]
    rejected: list[int]
    chosen_marks: list[int]
    rejected_marks: list[int]
    images: Mapping[str, Any] = {}


def tokenize_pair(tokenizer: Any, pair: PreferencePair, rule: MarkRule = RULE) -> TokenizedPair:
    """Tokenises a pair as TRL's DPO does and marks its tokens as training does.

    Args:
        tokenizer: A fast one, with a chat template if the prompt is messages.
        pair: Without images.
        rule: What is marked.

    Raises:
        DataError: If the chat template changes a response, with the row.
    """
    prompt, texts = _render(tokenizer, pair)
    is_text = isinstance(pair.prompt, str)
    ids = tokenizer(prompt, add_special_tokens=is_text)["input_ids"]
    encoded = tokenizer(texts, add_special_tokens=is_text, return_offsets_mapping=True)
    shared = count_shared(ids, *encoded["input_ids"])
    sides = marked_texts(pair, prompt, texts)
    chosen, rejected = (
        TokenizedResponse(all_ids, spans, offsets, text, prompt, response)
        for all_ids, offsets, text, (response, spans) in zip(
            encoded["input_ids"], encoded["offset_mapping"], texts, sides, strict=True
        )
    )
    try:
        marks = decide_marks(rule, pair.spans_from, chosen, rejected, prompt=shared, skip=shared)
    except ValueError as error:
        raise DataError(f"Row {pair.row} ({pair.id}): {error}") from error
    return TokenizedPair(shared, list(chosen.ids), list(rejected.ids), marks.chosen, marks.rejected)


def check_tokenizers(model: Any, reference: Any, names: tuple[str, str]) -> None:
    """Refuses two models whose tokens are not the same: their distributions cannot be compared.

    Raises:
        UserError: If they differ, or the tokenizer cannot say what characters a token covers.
    """
    if model.get_vocab() != reference.get_vocab():
        raise UserError(
            f"{names[0]} and its reference {names[1]} have different tokenizers ({len(model):,} and "
            f"{len(reference):,} tokens), so log-probs and KL of one cannot be compared with the other's. Give the "
            "model that it was trained from as `--reference`."
        )
    if not model.is_fast:
        raise UserError(f"{names[0]} has no tokenizer.json; marked tokens need a fast tokenizer. Save one beside it.")


def _render(tokenizer: Any, pair: PreferencePair) -> tuple[str, list[str]]:
    if isinstance(pair.prompt, str):
        end = tokenizer.eos_token or ""
        ended = [text if text.endswith(end) else text + end for text in (pair.chosen, pair.rejected)]
        return pair.prompt, [pair.prompt + text for text in ended]
    if tokenizer.chat_template is None:
        raise UserError(
            f"The pairs are messages and the tokenizer of {tokenizer.name_or_path} has no chat template. Put a "
            "`chat_template.jinja` into its folder, as training with `chat_template_path` does, or write texts."
        )
    settings = {"tokenize": False, **template_settings(pair.template)}
    prompt = render(tokenizer, pair.prompt, add_generation_prompt=True, **settings)
    full = [render(tokenizer, [*pair.prompt, *response], **settings) for response in pair.responses]
    return prompt, full

"""Pairs with images as tokens: as TRL's DPO makes them, which tokenises prompt and responses apart."""

from collections.abc import Sequence
from typing import Any

from align.data.media.images import open_image
from align.data.pairs.marks import MarkRule, TokenizedResponse, decide_marks, marked_texts
from align.data.pairs.preferences import PreferencePair, pair_to_row
from align.errors import DataError, UserError
from align.evaluation.pairs.tokens import RULE, TokenizedPair

SIDES = ("chosen", "rejected")


def tokenize_image_pair(processor: Any, pair: PreferencePair, rule: MarkRule = RULE) -> TokenizedPair:
    """Tokenises a pair of a data set with images, and marks its tokens as training does.

    Args:
        processor: Of a model that reads images, with a chat template and a fast tokenizer.
        pair: With or without images; its prompt is messages.
        rule: What is marked.

    Raises:
        DataError: If an image cannot be read, or a response has a token that stands for one, with the row.
        UserError: If the processor has no chat template.
    """
    if processor.chat_template is None:
        raise UserError("The processor has no chat template, and prompts are messages. Save one beside the model.")
    prompt, texts = _render(processor, pair)
    try:
        ids, images = _read_prompt(processor, prompt, pair.images)
    except (OSError, ValueError) as error:
        raise DataError(
            f"Row {pair.row} ({pair.id}): an image cannot be read: {error}. Repair or replace it, or leave the row "
            "out."
        ) from error
    sides = marked_texts(pair, prompt, [prompt + text for text in texts])
    encoded = [processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True) for text in texts]
    chosen, rejected = (
        TokenizedResponse(
            each["input_ids"], side, each["offset_mapping"], prompt + text, prompt, response, begin=len(prompt)
        )
        for each, text, (response, side) in zip(encoded, texts, sides, strict=True)
    )
    try:
        marks = decide_marks(rule, pair.spans_from, chosen, rejected, prompt=len(ids))
    except ValueError as error:
        raise DataError(f"Row {pair.row} ({pair.id}): {error}") from error
    return TokenizedPair(len(ids), [*ids, *chosen.ids], [*ids, *rejected.ids], marks.chosen, marks.rejected, images)


def _render(processor: Any, pair: PreferencePair) -> tuple[str, list[str]]:
    """Renders the prompt, with one placeholder per image, and what follows it in each response."""
    from trl import apply_chat_template, prepare_multimodal_messages

    token = getattr(processor, "image_token", None)
    for text in (pair.chosen, pair.rejected):
        if token and token in text:
            raise DataError(
                f"Row {pair.row} ({pair.id}): a response has {token}, which is an image to this model. Take it out: "
                "only the prompt has images."
            )
    row = pair_to_row(pair)
    messages = {side: prepare_multimodal_messages(row[side]) for side in SIDES}
    messages["prompt"] = prepare_multimodal_messages(row["prompt"], images=[None] * len(pair.images))
    texts = apply_chat_template(messages, processor, **pair.template.get("chat_template_kwargs", {}))
    return texts["prompt"], [texts[side] for side in SIDES]


def _read_prompt(processor: Any, prompt: str, images: Sequence[Any]) -> tuple[list[int], dict[str, Any]]:
    """Returns the tokens of a prompt, those of images included, and what else the model reads of the images."""
    if not images:
        return processor.tokenizer(prompt, add_special_tokens=False)["input_ids"], {}
    opened = [open_image(image) for image in images]
    fields = dict(processor(text=[prompt], images=[opened], return_tensors="pt", add_special_tokens=False))
    ids: list[int] = fields.pop("input_ids")[0].tolist()
    fields.pop("attention_mask", None)
    return ids, fields

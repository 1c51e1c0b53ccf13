"""Prompts with images, as vLLM wants them: one placeholder per image, which it replaces itself."""

from collections.abc import Sequence
from typing import Any

from transformers import ProcessorMixin


def placeholder_ids(
    processor: ProcessorMixin, prompts: Sequence[list[dict[str, Any]]], **template: Any
) -> list[list[int]]:
    """Tokenises prompts without putting the tokens of the images in.

    TRL 1.16 hands its colocated engine the tokens that the processor made. vLLM 0.31 takes the first token of each
    image among them for a placeholder and replaces it, so that an image of N tokens takes 2N - 1
    (https://github.com/huggingface/trl/issues/6294; this file may go when it is solved).

    Args:
        processor: The processor of the policy.
        prompts: Conversations whose messages are lists of parts, images among them.
        **template: Further arguments of the chat template.
    """
    texts = processor.apply_chat_template(list(prompts), add_generation_prompt=True, tokenize=False, **template)
    bos = processor.tokenizer.bos_token
    has_start = bos is not None and texts[0].startswith(bos)  # as `apply_chat_template` decides it
    ids: list[list[int]] = processor.tokenizer(texts, add_special_tokens=not has_start)["input_ids"]
    return ids

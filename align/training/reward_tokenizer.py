"""The tokenizer with which TRL asks a reward model."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoTokenizer


def reward_tokenizer(model: str, *, conversational: bool) -> Any:
    """Loads a reward model's own tokenizer; TRL would take that of the model an adapter belongs to.

    Args:
        model: Folder or hub id.
        conversational: Whether it will read messages, which the chat template ends, or plain texts.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)
    if conversational:
        return tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return EndedTexts(tokenizer)


class EndedTexts:
    """A tokenizer that ends every text with the end token, where a reward model was trained to be read.

    TRL 1.16 trains reward models on plain texts with an end token, and asks them in GRPO about texts without one.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._end = str(tokenizer.eos_token or "")

    def __call__(self, text: Sequence[str], **settings: Any) -> Any:
        """Tokenizes texts."""
        ended = [one if self._end and one.endswith(self._end) else one + self._end for one in text]
        return self._tokenizer(text=ended, **settings)

    def __getattr__(self, name: str) -> Any:
        """Looks up everything else on the tokenizer."""
        return getattr(self._tokenizer, name)

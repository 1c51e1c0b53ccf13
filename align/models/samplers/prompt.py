from typing import Any

from align.data.conversations import message_text

Prompt = str | list[dict[str, Any]]


def prompt_text(prompt: Prompt) -> str:
    """Returns a prompt, or the content of its last message."""
    return prompt if isinstance(prompt, str) else message_text(prompt[-1])

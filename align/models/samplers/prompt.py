from typing import Any

Prompt = str | list[dict[str, Any]]


def prompt_text(prompt: Prompt) -> str:
    """Returns a prompt, or the content of its last message."""
    return prompt if isinstance(prompt, str) else str(prompt[-1]["content"])

"""What a chat completion says."""

from typing import Any

from align.models.samplers.sampler import Answer

NO_COMPLETION, NO_CONTENT = "the server sent no chat completion", "the answer has no content"


def read_completion(completion: object) -> Answer | str:
    """Reads an answer, or says why it is none: a proxy's page, another JSON, no content.

    One whose content ran out of tokens before it began, as models that think do, is cut off.
    """
    choices = _get(completion, "choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = _get(first, "message")
    text = _get(message, "content")
    if not isinstance(message, dict) or not isinstance(text, str | None):
        return NO_COMPLETION
    cut_off = _get(first, "finish_reason") == "length"
    if text is None and not cut_off:
        return NO_CONTENT
    usage = _get(completion, "usage")
    return Answer(
        text=(text or "").encode(errors="replace").decode(),  # half a surrogate pair could not be written to a file
        cut_off=cut_off,
        prompt_tokens=_get(usage, "prompt_tokens") or 0,
        completion_tokens=_get(usage, "completion_tokens") or 0,
    )


def _get(content: object, key: str) -> Any:
    return content.get(key) if isinstance(content, dict) else None

"""Takes a preference row apart into a prompt and two responses, whichever of TRL's forms it is in."""

from collections.abc import Mapping, Sequence
from typing import Any

from align.data.problems import BadRow
from align.data.texts import is_blank

Message = dict[str, Any]
MESSAGES = '[{"role": "user", "content": ...}]'
RESPONSE = '[{"role": "assistant", "content": ...}]'


def split_pair(row: Mapping[str, Any]) -> tuple[str | list[Message], str, str]:
    """Splits a row into its prompt, chosen and rejected response.

    Responses are texts, with a text as prompt, or messages. Messages are one assistant message, or a conversation that
    ends in one and begins with the prompt; the column `prompt` may then be missing, or be the text of a user message.

    Raises:
        BadRow: If a part is missing or empty, or is not in one of these forms.
    """
    forms = {column: _is_messages(row.get(column), column) for column in ("chosen", "rejected")}
    if forms["chosen"] != forms["rejected"]:
        column = "rejected" if forms["chosen"] else "chosen"
        raise BadRow(column, row[column], "one response is a text and the other one messages", f"Write {RESPONSE}.")
    if not forms["chosen"]:
        return _check_text_prompt(row.get("prompt")), row["chosen"], row["rejected"]
    chosen, rejected = (check_messages(row[column], column) for column in ("chosen", "rejected"))
    shared = _find_prompt(row.get("prompt"), chosen, rejected)
    return shared, _check_response(chosen, shared, "chosen"), _check_response(rejected, shared, "rejected")


def check_prompt(prompt: object) -> str | list[Message]:
    """Checks a prompt that stands alone: a text, or messages.

    Raises:
        BadRow: If it is missing or empty, or something else.
    """
    messages = isinstance(prompt, list | tuple) and prompt
    return check_messages(prompt, "prompt") if messages else _check_text_prompt(prompt)  # type: ignore[arg-type]


def check_messages(messages: Sequence[object], column: str) -> list[Message]:
    """Checks messages; keys without a value, which tables add to messages that lack them, are left out.

    Raises:
        BadRow: If one has no role, or no text.
    """
    checked = []
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise BadRow(column, message, "a message is not an object with a role", f"Write {MESSAGES}.")
        if not isinstance(message.get("content"), str):
            raise BadRow(column, message, "the content of a message is not a text", f"Write {MESSAGES}.")
        checked.append({key: value for key, value in message.items() if value is not None})
    return checked


def write_response(text: str, prompt: str | list[Message]) -> str | list[Message]:
    """Writes a response in the form of its prompt: a text, or one assistant message."""
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def put_images_first(messages: Sequence[Message], images: Sequence[Message]) -> list[Message]:
    """Puts images in front of the text of the first user message, where TRL puts them in training.

    Args:
        messages: Messages with texts as content.
        images: Content parts, as the reader of the messages wants them.

    Returns:
        Messages whose contents are lists of parts.

    Example:
        >>> put_images_first([{"role": "user", "content": "Which?"}], [{"type": "image"}])
        [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': 'Which?'}]}]
    """
    parts = [message | {"content": [{"type": "text", "text": message["content"]}]} for message in messages]
    if images:
        first = next(message for message in parts if message["role"] == "user")
        first["content"] = [*images, *first["content"]]
    return parts


def _is_messages(response: object, column: str) -> bool:
    if isinstance(response, list | tuple) and response:
        return True
    if not isinstance(response, str) or is_blank(response):
        raise BadRow(column, response, "the response is missing or empty", f"Write a text, or {RESPONSE}.")
    return False


def _check_text_prompt(prompt: object) -> str:
    if isinstance(prompt, list | tuple) and prompt:
        raise BadRow("prompt", prompt, "the prompt is messages and the responses are texts", f"Write {RESPONSE}.")
    if not isinstance(prompt, str) or is_blank(prompt):
        raise BadRow("prompt", prompt, "the prompt is missing or empty", f"Write a text, or {MESSAGES}.")
    return prompt


def _find_prompt(prompt: object, chosen: list[Message], rejected: list[Message]) -> list[Message]:
    if isinstance(prompt, list | tuple) and prompt:
        return check_messages(prompt, "prompt")
    if prompt is not None and (not isinstance(prompt, str) or is_blank(prompt)):
        raise BadRow("prompt", prompt, "the prompt is missing or empty", f"Write {MESSAGES}.")
    shared = _shared_messages(chosen, rejected)
    asked = [message["content"] for message in shared if message["role"] == "user"]
    if prompt is not None and prompt not in asked:
        remedy = f"Write the prompt as {MESSAGES}, or begin both conversations with it."
        raise BadRow("prompt", prompt, "the prompt is not the beginning of the conversations", remedy)
    if not shared:
        raise BadRow("prompt", None, "the prompt is missing or empty", f"Write {MESSAGES}.")
    return shared


def _shared_messages(chosen: list[Message], rejected: list[Message]) -> list[Message]:
    """Lists the messages that both conversations begin with, without the last one of either."""
    shared: list[Message] = []
    for ours, theirs in zip(chosen[:-1], rejected[:-1], strict=False):
        if ours != theirs:
            break
        shared.append(ours)
    return shared


def _check_response(messages: list[Message], prompt: list[Message], column: str) -> str:
    """Checks that messages are the prompt, which may be left out, and one assistant message."""
    begins = messages[: len(prompt)] == prompt
    response = messages[len(prompt) :] if begins else messages
    roles = [message["role"] for message in response]
    if roles.count("assistant") > 1:
        remedy = "A pair compares one message: put those before it into the prompt of both."
        raise BadRow(column, roles, "several assistant messages follow the prompt", remedy)
    if not begins and len(messages) > 1:
        remedy = "Begin the conversation with the messages of `prompt`, or write the last message only."
        raise BadRow(column, messages, "the prompt is not the beginning of the conversation", remedy)
    if roles != ["assistant"]:
        raise BadRow(column, roles, "the prompt is not followed by an assistant message", f"Write {RESPONSE}.")
    if extra := ", ".join(sorted(set(response[0]) - {"role", "content"})):
        raise BadRow(column, extra, "the response has more than a text", "Only its content is compared: remove it.")
    content: str = response[0]["content"]
    if is_blank(content):
        raise BadRow(column, content, "the response is missing or empty", "Write a text as its content.")
    return content

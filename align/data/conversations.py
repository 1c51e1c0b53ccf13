"""Messages of a conversation: checked, written as one text, and given their images."""

import json
from collections.abc import Mapping, Sequence
from itertools import dropwhile
from typing import Any

from align.data.problems import BadRow
from align.data.texts import is_blank

Message = dict[str, Any]
MESSAGES = '[{"role": "user", "content": ...}]'
PART = '{"type": "text", "text": ...}'
RESPONSE = '[{"role": "assistant", "content": ...}]'
_SHAREGPT = {"from": "role", "value": "content"}
_ROLES = {"human": "user", "gpt": "assistant"}  # of ShareGPT


def check_prompt(prompt: object, *, images: bool = False) -> str | list[Message]:
    """Checks a prompt that stands alone: a text, or messages, which may have places for images."""
    if isinstance(prompt, list | tuple) and prompt:
        return one_form(check_messages(prompt, "prompt", images=images))
    if not isinstance(prompt, str) or is_blank(prompt):
        raise BadRow("prompt", prompt, "the prompt is missing or empty", f"Write a text, or {MESSAGES}.")
    return prompt


def check_messages(messages: Sequence[object], column: str, *, images: bool = False) -> list[Message]:
    """Checks messages, writes content that is parts of text as one text, and leaves keys without a value out.

    Example:
        >>> check_messages([{"from": "human", "value": "Why?"}], "prompt")
        [{'role': 'user', 'content': 'Why?'}]
    """
    checked = []
    for message in messages:
        if isinstance(message, Mapping) and "from" in message:
            message = {_SHAREGPT.get(key, key): value for key, value in message.items()}
            message["role"] = _ROLES.get(str(message["role"]), message["role"])
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise BadRow(column, message, "a message is not an object with a role", f"Write {MESSAGES}.")
        kept = {
            key: value for key, value in message.items() if value is not None and (key, value) != ("tool_calls", [])
        }
        if "content" in kept or "tool_calls" not in kept:
            kept["content"] = _check_content(message, column, images)
        checked.append(kept)
    return checked


def _check_content(message: Mapping[str, Any], column: str, images: bool) -> str | list[Message]:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if not isinstance(content, list | tuple) or not content:
        raise BadRow(column, message, "the content of a message is not a text", f"Write {MESSAGES}.")
    parts = [_check_part(part, column, images) for part in content]
    if all(part["type"] == "text" for part in parts):
        return "".join(part["text"] for part in parts)
    return parts


def _check_part(part: object, column: str, images: bool) -> Message:
    kind = part.get("type") if isinstance(part, Mapping) else None
    if not isinstance(part, Mapping) or (kind == "text" and not isinstance(part.get("text"), str)):
        raise BadRow(column, part, "a part of a message has no type, or no text", f"Write {PART}.")
    if kind == "text":
        return {"type": "text", "text": part["text"]}
    if kind == "image" and images:
        if any(part.get(key) is not None for key in part if key not in ("type", "text")):
            remedy = 'Write {"type": "image"} here, and the images in the column `images`.'
            raise BadRow(column, part, "a part of a message has an image of its own", remedy)
        return {"type": "image"}
    remedy = f"Write {PART}." if not images else f'Write {PART} or {{"type": "image"}}; a video is a path in `video`.'
    raise BadRow(column, part, f"a part of a message is of the type {kind!r}, which is not read here", remedy)


def count_places(prompt: str | Sequence[Message]) -> int:
    """Counts the places that a prompt has for images.

    Example:
        >>> count_places([{"role": "user", "content": [{"type": "text", "text": "Which?"}, {"type": "image"}]}])
        1
    """
    contents = [] if isinstance(prompt, str) else [message.get("content") for message in prompt]
    return sum(part["type"] == "image" for content in contents if isinstance(content, list) for part in content)


def column_of_places(row: Mapping[str, Any]) -> str:
    """Names the column of a row whose messages have places for images: the whole conversation, or the prompt."""
    return "messages" if "messages" in row else "prompt"


def message_form(messages: Sequence[Message]) -> tuple[Any, ...]:
    """Says of what messages are made, and not what they say: their roles, and the kinds of their parts.

    Example:
        >>> message_form([{"role": "user", "content": [{"type": "image"}]}])
        (('user', ('image',)),)
    """
    return tuple(
        (each["role"], tuple(part["type"] for part in said) if isinstance(said, list) else type(said).__name__)
        for each in messages
        for said in [each.get("content")]
    )


def one_form(messages: list[Message]) -> list[Message]:
    """Writes every content as parts where one has a place for an image: TRL puts images in front of a text.

    Example:
        >>> shown = {"role": "user", "content": [{"type": "image"}]}
        >>> one_form([shown, {"role": "assistant", "content": "A cat."}])[1]["content"]
        [{'type': 'text', 'text': 'A cat.'}]
    """
    return put_images_in(messages, [{"type": "image"}] * places) if (places := count_places(messages)) else messages


def in_one_column(values: Sequence[Any]) -> list[Any]:
    """Writes all contents of messages as parts where one is: a column of a table has one type.

    Example:
        >>> parts = {"role": "user", "content": [{"type": "text", "text": "Why?"}]}
        >>> in_one_column([[parts], [{"role": "user", "content": "So?"}]])[1]
        [{'role': 'user', 'content': [{'type': 'text', 'text': 'So?'}]}]
    """
    messages = [each for value in values if isinstance(value, list) for each in value if isinstance(each, Mapping)]
    if not any(isinstance(each.get("content"), list) for each in messages):
        return list(values)

    def in_parts(each: Any) -> Any:
        return each | {"content": _as_parts(each["content"])} if isinstance(each, dict) and "content" in each else each

    return [list(map(in_parts, value)) if isinstance(value, list) else value for value in values]


def as_written(prompt: str | Sequence[Message]) -> str | list[Message]:
    """Writes a prompt as it would be written by hand: text for parts, and no places for images in front of the user's.

    Example:
        >>> as_written([{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Which?"}]}])
        [{'role': 'user', 'content': 'Which?'}]
    """
    if isinstance(prompt, str):
        return prompt
    messages = check_messages(prompt, "prompt", images=True)
    first = next((message for message in messages if message["role"] == "user"), None)
    if first is not None and isinstance(first["content"], list):
        parts = list(dropwhile(lambda part: part["type"] == "image", first["content"]))
        if all(part["type"] == "text" for part in parts):
            first["content"] = "".join(part["text"] for part in parts)
    return messages


def message_text(message: Mapping[str, Any]) -> str:
    r"""Writes what a message says as one text: parts without a space between them, and tool calls as JSON.

    Example:
        >>> message_text({"role": "assistant", "content": "So:", "tool_calls": [{"function": {"name": "add"}}]})
        'So:\n{"function": {"name": "add"}}'
    """
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text") or "" for part in content)
    calls = [json.dumps(call, ensure_ascii=False, default=str) for call in message.get("tool_calls") or ()]
    return "\n".join(text for text in (content, *calls) if text)


def last_text(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """Writes a prompt that is a text, of messages the last one."""
    return prompt if isinstance(prompt, str) else message_text(prompt[-1])


def conversation_text(messages: str | Sequence[Mapping[str, Any]], between: str = "\n") -> str:
    r"""Writes messages as one text, each with its role in front; one that stands alone is what it says.

    Example:
        >>> conversation_text([{"role": "user", "content": "Why?"}])
        'Why?'
        >>> conversation_text([{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}])
        'user: Why?\nassistant: So.'
    """
    if isinstance(messages, str):
        return messages
    if len(messages) == 1:
        return message_text(messages[0])
    return between.join(f"{message['role']}: {message_text(message)}" for message in messages)


def write_response(text: str, prompt: str | list[Message]) -> str | list[Message]:
    """Writes a response in the form of its prompt: a text, or one assistant message."""
    return text if isinstance(prompt, str) else [{"role": "assistant", "content": text}]


def show_places(prompt: str | list[Message], number: int) -> str | list[Message]:
    """Writes the contents of messages as parts, with a place for each image; a text has none.

    Example:
        >>> show_places([{"role": "user", "content": "Which?"}], 1)
        [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': 'Which?'}]}]
    """
    return prompt if isinstance(prompt, str) else put_images_in(prompt, [{"type": "image"}] * number)


def put_images_in(messages: Sequence[Message], images: Sequence[Message]) -> list[Message]:
    """Puts images where messages, whose contents become parts, have places, else in front of the user, as TRL does.

    Example:
        >>> put_images_in([{"role": "user", "content": "Which?"}], [{"type": "image"}])
        [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': 'Which?'}]}]
    """
    parts = [message | {"content": _as_parts(message.get("content"))} for message in messages]
    if count_places(messages):
        given = iter(images)
        for message in parts:
            message["content"] = [next(given) if part["type"] == "image" else part for part in message["content"]]
    elif images:
        first = next(message for message in parts if message["role"] == "user")
        first["content"] = [*images, *first["content"]]
    return parts


def _as_parts(content: str | list[Message] | None) -> list[Message]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return content or []

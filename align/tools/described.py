"""What an environment of others tells: what it is made of, its rows, its scores, and messages in either form."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

ENTRY = "entry"  # column of the rows: what the environment needs to know of one


class UnusableError(Exception):
    """An environment that cannot be used; its text names what is missing, and follows `NAME`."""


class Described(NamedTuple):
    """What an environment is made of."""

    library: str  # with its version
    tools: Sequence[Mapping[str, Any]]  # `name`, `description` and JSON schema `parameters` of each
    rewards: Sequence[tuple[str, float]]  # with their weights
    notes: Sequence[str]  # sentences on what training does otherwise than the library
    megabytes: float = 0.0  # that its process takes
    stops: bool = False  # whether it may end a rollout between turns


class Page(NamedTuple):
    """Some rows, and whether there are more of them."""

    rows: Sequence[Mapping[str, Any]]
    has_more: bool


class Scores(NamedTuple):
    """What a finished rollout is given."""

    rewards: Mapping[str, float]  # without their weights
    metrics: Mapping[str, float]


def chat_messages(messages: Any) -> list[dict[str, str]]:
    """Writes the messages of a prompt as TRL takes them; raises `UnusableError` for what is no text."""
    written = []
    for message in messages:
        plain = message if isinstance(message, Mapping) else message.model_dump(exclude_none=True)
        content = plain.get("content") or ""
        parts = [content] if isinstance(content, str) else content
        texts = [part if isinstance(part, str) else part.get("text") for part in parts]
        if plain.get("tool_calls") or not all(isinstance(text, str) for text in texts):
            raise UnusableError("has prompts with images or calls of tools, and prompts of texts can be asked.")
        written.append({"role": plain["role"], "content": "\n".join(texts)})
    return written


def library_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Writes the messages of a completion as the library has them: calls have ids, and arguments that are texts."""
    written: list[dict[str, Any]] = []
    open_calls: list[str] = []
    for message in messages:
        plain: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
        if message["role"] == "tool":
            plain["tool_call_id"] = open_calls.pop(0) if open_calls else "call"
        if message.get("tool_calls"):
            functions = [call.get("function") or {} for call in message["tool_calls"]]
            open_calls = [f"call_{len(written)}_{place}" for place in range(len(functions))]
            plain["tool_calls"] = [
                {"id": number, "name": str(function.get("name")), "arguments": _as_text(function.get("arguments"))}
                for number, function in zip(open_calls.copy(), functions, strict=True)
            ]
        if message.get("reasoning_content"):
            plain["reasoning_content"] = message["reasoning_content"]
        written.append(plain)
    return written


def _as_text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False, default=str)

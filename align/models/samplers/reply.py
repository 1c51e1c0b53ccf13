import json
import re
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_DECODER = json.JSONDecoder(strict=False)  # models break lines inside texts
_OPENED = re.compile(r'\{\s*(?:"(?:[^"\\]|\\.)*"\s*:|\})')  # no brace of a formula, or of a set
_END_OF_THOUGHT = "</think>"
_MAX_SHOWN_ERRORS = 5

R = TypeVar("R", bound="Reply")


class UnreadableReplyError(ValueError):
    """An answer that does not hold what was asked for; the text says why, for the one who wrote it."""


class Reply(BaseModel, frozen=True, str_strip_whitespace=True):
    """A JSON object; keys that were not asked for are dropped."""

    @classmethod
    def read(cls: type[R], text: str) -> R:
        """Reads the last JSON object of its form in a text, which may be fenced, or have words around it."""
        reason = "There is no JSON object in it."
        for content in reversed(_objects(text)):
            try:
                return cls.model_validate(content)
            except ValidationError as error:
                listed = [_describe(each) for each in error.errors()[:_MAX_SHOWN_ERRORS]]
                reason = "The JSON object breaks a rule: " + "; ".join(listed) + "."
        raise UnreadableReplyError(reason)


def _objects(text: str) -> list[Any]:
    found: list[Any] = []
    end = 0
    while opened := _OPENED.search(text, end):
        if _END_OF_THOUGHT in text[end : opened.start()]:
            found.clear()
        end = opened.start()
        try:
            content, end = _DECODER.raw_decode(text, end)
            found.append(content)
        except (json.JSONDecodeError, RecursionError):
            if _END_OF_THOUGHT not in text[end:]:
                break  # nothing says where it ends, and an object inside of it may be one that it quotes
            end = text.index(_END_OF_THOUGHT, end)
    if _END_OF_THOUGHT in text[end:]:
        found.clear()
    start = text.find("{", max(end, text.rfind(_END_OF_THOUGHT)))
    if not found and start >= 0:
        try:
            _DECODER.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "too deep"
            raise UnreadableReplyError(f"It is not valid JSON: {reason}.") from error
    return found


def _describe(error: ErrorDetails) -> str:
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"

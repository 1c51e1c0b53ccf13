"""The JSON object that a model was asked for, read out of its answer."""

import json
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_DECODER = json.JSONDecoder(strict=False)  # models break lines inside texts
_MAX_SHOWN_ERRORS = 5

R = TypeVar("R", bound="Reply")


class UnreadableReplyError(ValueError):
    """An answer that does not hold what was asked for; the text says why, for the one who wrote it."""


class Reply(BaseModel, frozen=True, str_strip_whitespace=True):
    """A JSON object; keys that were not asked for are dropped."""

    @classmethod
    def read(cls: type[R], text: str) -> R:
        """Reads the first JSON object in a text, which may be fenced or have words around it.

        Raises:
            UnreadableReplyError: If there is none, or it breaks a rule.
        """
        start = text.find("{")
        if start < 0:
            raise UnreadableReplyError("There is no JSON object in it.")
        try:
            content, _ = _DECODER.raw_decode(text, start)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = f"{error.msg} at character {error.pos}" if isinstance(error, json.JSONDecodeError) else "too deep"
            raise UnreadableReplyError(f"It is not valid JSON: {reason}.") from error
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            listed = [_describe(each) for each in error.errors()[:_MAX_SHOWN_ERRORS]]
            raise UnreadableReplyError("The JSON object breaks a rule: " + "; ".join(listed) + ".") from error


def _describe(error: ErrorDetails) -> str:
    """Words one error of validation, such as `attributes.3.weight: Input should be greater than 0`."""
    place = ".".join(map(str, error["loc"]))
    return f"{place}: {error['msg'].removeprefix('Value error, ')}"

"""Completions as texts and as messages, and values that are equal up to rounding."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from rewards.reading.responses import Completion

Form = Literal["text", "messages"]
TOLERANCE = 1e-4


def as_completion(text: str, form: Form) -> Completion:
    """Writes a response as TRL hands it over."""
    return text if form == "text" else [{"role": "assistant", "content": text}]


def row_in_form(row: Mapping[str, Any], form: Form) -> dict[str, Any]:
    """Returns a row whose prompt is in a form."""
    prompt = row.get("prompt")
    if form == "messages" and isinstance(prompt, str):
        prompt = [{"role": "user", "content": prompt}]
    elif form == "text" and isinstance(prompt, list):
        prompt = "\n".join(str(message.get("content", "")) for message in prompt)
    return {**row, "prompt": prompt}


def first_difference(one: Sequence[float | None], other: Sequence[float | None]) -> int | None:
    """Finds the first place at which values differ by more than rounding."""
    for index, (a, b) in enumerate(zip(one, other, strict=True)):
        if a is None or b is None:
            if a is not b:
                return index
        elif abs(a - b) > TOLERANCE * max(1.0, abs(a), abs(b)):
            return index
    return None


def write_value(value: float | None) -> str:
    """Writes a value in few digits."""
    return "None" if value is None else f"{value + 0.0:.4g}"

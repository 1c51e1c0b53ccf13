"""Changes to a trace that show what an answer owes to it."""

import math
import random
import re
from collections.abc import Sequence

from rewards.reading.responses import DEFAULT_FORMAT, Response, ResponseFormat
from rewards.reading.steps import steps_of

CORRUPTED = (25, 50, 100)  # percent of the words
CORRUPTED_STEPS = 50  # percent
_DIGITS = re.compile(r"\d+")


def replace_trace(text: str, response: Response, trace: str, response_format: ResponseFormat = DEFAULT_FORMAT) -> str:
    """Returns the beginning of a response up to its answer, with another trace in place of its own.

    Example:
        >>> from rewards.reading.responses import parse_response
        >>> text = "<think>gold</think><answer>A</answer>"
        >>> replace_trace(text, parse_response(text), "iron")
        '<think>iron</think><answer>'

    Raises:
        ValueError: If the response has no trace or no answer.
    """
    if response.trace is None or response.answer_start is None:
        raise ValueError(f"A trace can be replaced only between a trace and an answer, got {text[-80:]!r}.")
    tag = f"<{response_format.think_tag}>"
    start = text.index(response.trace, text.find(tag) + len(tag) if tag in text else 0)
    return text[:start] + trace + text[start + len(response.trace) : response.answer_start]


def corrupt_words(trace: str, percent: int, words: Sequence[str], rng: random.Random) -> str:
    """Replaces a share of the words, at least one, by other words drawn from `words`.

    With an `rng` in the same state, a higher share replaces the same words and more.

    Args:
        trace: The trace; whitespace between its words becomes one space.
        percent: Share to replace, 1 to 100, rounded up to whole words.
        words: What to draw from. A word stays if nothing else can be drawn.
        rng: Source of randomness.

    Example:
        >>> corrupt_words("iron rusts in rain", 50, ["x"], random.Random(0))
        'iron x in x'
    """
    own = trace.split()
    places = rng.sample(range(len(own)), len(own))
    drawn = [rng.choice([word for word in words if word != old] or [old]) if words else old for old in own]
    changed = set(places[: math.ceil(len(own) * percent / 100)])
    return " ".join(drawn[i] if i in changed else word for i, word in enumerate(own))


def corrupt_numbers(trace: str, rng: random.Random) -> str:
    """Replaces every run of digits by another one of the same length, which begins with no zero.

    Example:
        >>> corrupt_numbers("2 of 40 rust", random.Random(0))
        '7 of 70 rust'
    """

    def other(match: re.Match[str]) -> str:
        while True:
            drawn = rng.choice("123456789") + "".join(rng.choices("0123456789", k=len(match[0]) - 1))
            if drawn != match[0]:
                return drawn

    return _DIGITS.sub(other, trace)


def corrupt_steps(trace: str, percent: int, steps: Sequence[str], rng: random.Random) -> str:
    """Replaces a share of the steps, at least one, by steps of other traces.

    Args:
        trace: The trace; what stands between its steps becomes one space or one new line.
        percent: Share to replace, 1 to 100, rounded up to whole steps.
        steps: What to draw from. A trace stays if nothing but its own steps can be drawn.
        rng: Source of randomness.

    Example:
        >>> corrupt_steps("It rusts. So iron.", 50, ["Gold shines."], random.Random(1))
        'Gold shines. So iron.'
    """
    own = [step.strip() for step in steps_of(trace)]
    others = [step for step in steps if step not in own]
    if not others:
        return trace
    changed = set(rng.sample(range(len(own)), math.ceil(len(own) * percent / 100)))
    return _join(trace, [rng.choice(others) if i in changed else step for i, step in enumerate(own)])


def corrupt_order(trace: str, rng: random.Random) -> str:
    """Puts the steps into another order; a trace stays if they are all the same, or one.

    Example:
        >>> corrupt_order("It rusts. So iron.", random.Random(0))
        'So iron. It rusts.'
    """
    own = [step.strip() for step in steps_of(trace)]
    if len(set(own)) < 2:
        return trace
    while (drawn := rng.sample(own, len(own))) == own:
        pass
    return _join(trace, drawn)


def _join(trace: str, steps: Sequence[str]) -> str:
    return ("\n" if "\n" in trace.strip() else " ").join(steps)


def donors(ids: Sequence[str], traces: Sequence[str | None], seed: int) -> list[int | None]:
    """Chooses, for each response, another item's response with another trace; None if there is none.

    Responses stand in a circle in an order that depends on the seed, and each takes the next one that will do.
    """
    circle = [i for i, trace in enumerate(traces) if trace]
    random.Random(f"{seed}/donors").shuffle(circle)
    chosen: list[int | None] = [None] * len(ids)
    if len({traces[i] for i in circle}) < 2:
        return chosen
    for place, i in enumerate(circle):
        others = (circle[(place + step) % len(circle)] for step in range(1, len(circle)))
        chosen[i] = next((j for j in others if ids[j] != ids[i] and traces[j] != traces[i]), None)
    return chosen

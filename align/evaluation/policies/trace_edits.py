"""Changes to a trace that show what an answer owes to it."""

import math
import random
from collections.abc import Sequence

from rewards.reading.responses import DEFAULT_FORMAT, Response, ResponseFormat

CORRUPTED = (25, 50, 100)  # percent of the words


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

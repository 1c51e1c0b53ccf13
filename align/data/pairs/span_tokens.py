"""From characters of a response to tokens of the whole text."""

from bisect import bisect_right
from collections.abc import Sequence

from align.data.pairs.spans import Span
from align.data.problems import shorten


def place_response(full: str, prompt: str, response: str) -> int:
    r"""Finds where a response starts in the text that a model reads: what to add to an offset into `response`.

    It is looked for after what `full` and `prompt` share. A chat template may trim the ends of the response: the place
    returned is then the one that puts its other characters right, even where trimmed whitespace would be in the way.
    Raises `ValueError` if `full` does not have the response, because the template changes it.

    Example:
        >>> place_response("<user>Hi<bot>\nHello!<end>", "<user>Hi<bot>\n", " Hello! ")
        13
    """
    text = response.strip()
    shared = count_shared_characters(full, prompt)
    places = _find_all(full, text, shared)
    # A template may write something of its own in front, such as an empty <think> block. The response is then the
    # text that starts a line, and not a part of a tag.
    free = [place for place in places if place == shared or full[place - 1].isspace()]
    place = (free or places or [_find_begun(full, text, shared)])[0]
    if place < 0:
        raise ValueError(
            f"The chat template changes the response, so that its spans cannot be found: {shorten(text)} is not in "
            f"{shorten(full[shared:])}. Use a template that writes responses as they are, or take out what it removes."
        )
    return place - (len(response) - len(response.lstrip()))


def mark_tokens(offsets: Sequence[tuple[int, int]], spans: Sequence[Span], start: int) -> list[int]:
    """Marks with 1 the tokens that overlap a span, also those that go beyond its border; one without width never is.

    Example:
        >>> mark_tokens([(0, 0), (0, 3), (3, 9), (9, 12)], [Span(0, 5)], start=4)
        [0, 0, 1, 0]
    """
    ends = [span.end + start for span in spans]
    starts = [span.start + start for span in spans]
    marks = []
    for first, last in offsets:
        k = bisect_right(ends, first)  # the first span that ends after the token starts
        marks.append(int(first < last and k < len(spans) and starts[k] < last))
    return marks


def count_shared_characters(full: str, prompt: str) -> int:
    """Counts the characters that both begin with."""
    if full.startswith(prompt):
        return len(prompt)
    return next(i for i, character in enumerate(prompt) if full[i : i + 1] != character)


def _find_all(full: str, text: str, start: int) -> list[int]:
    places = []
    while (start := full.find(text, start)) >= 0:
        places.append(start)
        start += 1
    return places


def _find_begun(full: str, text: str, shared: int) -> int:
    """Finds a response whose first characters happen to be those with which the prompt goes on."""
    return full.rfind(text, max(0, shared - len(text)), shared + len(text))

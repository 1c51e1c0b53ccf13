"""A text with marked spans, cut into pieces that a page can show."""

from collections.abc import Iterator
from typing import Any, NamedTuple

_CONTEXT = 200  # characters kept on either side of a span once a text is too long to show


class Piece(NamedTuple):
    """A stretch of text; `left_out` counts the characters that follow it and are not shown."""

    text: str
    marked: bool = False
    left_out: int = 0


def mark_text(text: str, spans: Any, longest: int) -> list[Piece]:
    """Cuts a text at its spans, and shows a long one around them only.

    Args:
        text: The text.
        spans: Character offsets `[[start, end], ...]`, half-open. Offsets outside the text and things that are no
            offsets mark nothing, because a page about a run should not fail on one row.
        longest: Characters to show in all.

    Example:
        >>> [(piece.text, piece.marked) for piece in mark_text("It is in Paris.", [[9, 14]], 100)]
        [('It is in ', False), ('Paris', True), ('.', False)]
    """
    pieces = list(_pieces(text, _clean(spans, len(text))))
    if len(text) <= longest:
        return pieces
    return list(_cut_off(list(_around_spans(pieces)) if len(pieces) > 1 else pieces, longest))


def share_marked(text: str, spans: Any) -> float:
    """Returns the share of characters inside spans, 0 for an empty text."""
    return sum(end - start for start, end in _clean(spans, len(text))) / max(1, len(text))


def _clean(spans: Any, length: int) -> list[tuple[int, int]]:
    """Sorts spans, cuts them to the text and joins those that overlap."""
    clean: list[tuple[int, int]] = []
    for start, end in sorted(_offsets(spans)):
        start, end = max(0, start), min(end, length)
        if clean and start <= clean[-1][1]:
            clean[-1] = (clean[-1][0], max(end, clean[-1][1]))
        elif start < end:
            clean.append((start, end))
    return clean


def _offsets(spans: Any) -> Iterator[tuple[int, int]]:
    for span in spans if isinstance(spans, list | tuple) else ():
        if isinstance(span, list | tuple) and len(span) == 2 and all(isinstance(offset, int) for offset in span):
            yield span[0], span[1]


def _pieces(text: str, spans: list[tuple[int, int]]) -> Iterator[Piece]:
    place = 0
    for start, end in spans:
        if place < start:
            yield Piece(text[place:start])
        yield Piece(text[start:end], marked=True)
        place = end
    if place < len(text):
        yield Piece(text[place:])


def _around_spans(pieces: list[Piece]) -> Iterator[Piece]:
    """Shortens what lies between spans to some context; the start of the text stays too."""
    for index, piece in enumerate(pieces):
        after = _CONTEXT if index < len(pieces) - 1 else 0
        left_out = len(piece.text) - _CONTEXT - after
        if piece.marked or left_out <= 0:
            yield piece
            continue
        yield Piece(piece.text[:_CONTEXT], left_out=left_out)
        if after:
            yield Piece(piece.text[-after:])


def _cut_off(pieces: list[Piece], longest: int) -> Iterator[Piece]:
    """Ends after `longest` characters and counts the rest."""
    room = longest
    for index, piece in enumerate(pieces):
        if len(piece.text) > room:
            rest = sum(len(later.text) + later.left_out for later in pieces[index:]) - room
            yield Piece(piece.text[:room], piece.marked, rest)
            return
        room -= len(piece.text)
        yield piece

"""Pairs of responses as a report shows them, with what counts in them marked."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from align.report.charts.axis import format_number
from align.report.thumbnails import Filmstrip, Thumbnails

_LONGEST_TEXT = 2000  # characters of a field; 40 pairs of three fields stay well under a megabyte
_LONGEST_NAME = 80
_CONTEXT = 200  # characters kept on either side of a span once a text is too long to show
_SOURCES = {"offsets": "spans from the data", "tags": "spans from tags", "diff": "spans from a diff"}


class Piece(NamedTuple):
    """A stretch of text; `left_out` counts the characters that follow it and are not shown."""

    text: str
    marked: bool = False
    left_out: int = 0


class Pair(NamedTuple):
    """One pair of responses; texts are cut at their spans."""

    name: str
    tags: list[str]
    is_tie: bool
    prompt: list[Piece]
    chosen: list[Piece]
    rejected: list[Piece]
    images: Filmstrip = Filmstrip()


def pick_pairs(rows: Sequence[Mapping[str, Any]], limit: int = 40, thumbnails: Thumbnails | None = None) -> list[Pair]:
    """Takes a bounded, even sample of the saved pairs; those of different sources take turns."""
    step = max(1, -(-len(rows) // max(1, limit)))
    turns: Counter[Any] = Counter()
    placed = []
    for number, row in list(enumerate(rows, 1))[::step]:
        turns[row.get("source")] += 1
        placed.append((turns[row.get("source")], number, row))
    pairs = [(row, _pair(row, number)) for _, number, row in sorted(placed, key=lambda item: item[:2])]
    if thumbnails is None:
        return [pair for _, pair in pairs]
    return [pair._replace(images=thumbnails.strip(row.get("images"))) for row, pair in pairs]


def _pair(row: Mapping[str, Any], number: int) -> Pair:
    texts = {side: str(row.get(side) or "") for side in ("chosen", "rejected")}
    spans = {side: row.get(f"{side}_spans") for side in texts}
    came = (row.get("source"), row.get("attribute"), "tie" if row.get("tie") else None)  # of a reward model's pair
    origin = [str(part)[:_LONGEST_NAME] for part in came if part]
    return Pair(
        name=str(row.get("id") or f"pair {number}")[:_LONGEST_NAME],
        tags=origin or [_share(row, texts, spans), _source(row, texts, spans)],
        is_tie=bool(row.get("tie")),
        prompt=mark_text(str(row.get("prompt") or ""), [], _LONGEST_TEXT),
        chosen=mark_text(texts["chosen"], spans["chosen"], _LONGEST_TEXT),
        rejected=mark_text(texts["rejected"], spans["rejected"], _LONGEST_TEXT),
    )


def _source(row: Mapping[str, Any], texts: Mapping[str, str], spans: Mapping[str, Any]) -> str:
    shares = [share_marked(text, spans[side]) for side, text in texts.items()]
    if not any(shares):
        return "no spans"
    return "whole responses" if min(shares) == 1 else _SOURCES.get(str(row.get("spans_from")), "")


def _share(row: Mapping[str, Any], texts: Mapping[str, str], spans: Mapping[str, Any]) -> str:
    """Words the marked share: of tokens if the trainer counted them, else of characters."""
    tokens = row.get("marked_share")
    if isinstance(tokens, int | float):
        return f"{format_number(tokens, share=True)} of tokens marked"
    by_side = (
        f"{format_number(share_marked(text, spans[side]), share=True)} of {side}" for side, text in texts.items()
    )
    return f"characters marked: {', '.join(by_side)}"


def mark_text(text: str, spans: Any, longest: int) -> list[Piece]:
    """Cuts a text at its spans, and shows a long one around them only.

    Spans are character offsets `[[start, end], ...]`, half-open. Offsets outside the text and things that are no
    offsets mark nothing, because a page about a run should not fail on one row.

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

"""Pairs of responses as a report shows them, with what counts in them marked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from align.report.charts.axis import format_number
from align.report.run.marked_text import Piece, mark_text, share_marked
from align.report.thumbnails import Filmstrip, Thumbnails

_LONGEST_TEXT = 2000  # characters of a field; 40 pairs of three fields stay well under a megabyte
_LONGEST_NAME = 80
_SOURCES = {"offsets": "spans from the data", "tags": "spans from tags", "diff": "spans from a diff"}


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
    return Pair(
        name=str(row.get("id") or f"pair {number}")[:_LONGEST_NAME],
        tags=_origin(row) or [_share(row, texts, spans), _source(row, texts, spans)],
        is_tie=bool(row.get("tie")),
        prompt=mark_text(str(row.get("prompt") or ""), [], _LONGEST_TEXT),
        chosen=mark_text(texts["chosen"], spans["chosen"], _LONGEST_TEXT),
        rejected=mark_text(texts["rejected"], spans["rejected"], _LONGEST_TEXT),
    )


def _origin(row: Mapping[str, Any]) -> list[str]:
    """Says how a pair for a reward model came about; other pairs have no source."""
    parts = (row.get("source"), row.get("attribute"), "tie" if row.get("tie") else None)
    return [str(part)[:_LONGEST_NAME] for part in parts if part]


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

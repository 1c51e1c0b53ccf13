"""The spans of a preference row: given as offsets, marked with tags, or found by a diff."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from align.data.pairs.spans import Span, check_spans, diff_spans, has_tags, strip_tags, words_differ
from align.data.problems import BadRow

SOURCES = ("offsets", "tags", "diff")

Spans = tuple[Span, ...]


@lru_cache(maxsize=16)  # the spans of each side are asked for by themselves
def spans_of(chosen: str, rejected: str, given: tuple[Spans, Spans] | None) -> tuple[Spans, Spans]:
    """Returns the spans of two responses: those that the data have, else those of a diff."""
    return diff_spans(chosen, rejected) if given is None else given


def has_spans(chosen: str, rejected: str, given: tuple[Spans, Spans] | None) -> bool:
    """Says whether two responses have a span, which takes less than to find all."""
    return words_differ(chosen, rejected) if given is None else any(given)


class MarkedTexts(NamedTuple):
    """Two responses without tags, and what counts in them."""

    chosen: str
    rejected: str
    given_spans: tuple[Spans, Spans] | None  # None for those of a diff
    spans_from: str  # offsets, tags or diff


def mark_texts(row: Mapping[str, Any], chosen: str, rejected: str) -> MarkedTexts:
    """Finds the spans of a row's responses.

    Spans are the character offsets `chosen_spans` and `rejected_spans` into the text of the responses, else what
    stands between `<MASK>` tags, else the words that a diff finds.

    Raises:
        BadRow: If offsets or tags are not what they should be, or both are there.
    """
    offsets = {column: row.get(column) for column in ("chosen_spans", "rejected_spans")}
    has_offsets = any(value is not None for value in offsets.values())
    tagged = [column for column, text in (("chosen", chosen), ("rejected", rejected)) if has_tags(text)]
    if tagged and has_offsets:
        remedy = "Leave out the columns `chosen_spans` and `rejected_spans`, or the tags."
        raise BadRow(tagged[0], row[tagged[0]], "there are tags and offsets", remedy)
    chosen, chosen_tagged = strip_tags(chosen, "chosen")
    rejected, rejected_tagged = strip_tags(rejected, "rejected")
    if tagged:
        return MarkedTexts(chosen, rejected, (chosen_tagged, rejected_tagged), "tags")
    if has_offsets:
        spans = _check_offsets(offsets, chosen, rejected)
        return MarkedTexts(chosen, rejected, spans, _check_source(row.get("spans_from")))
    return MarkedTexts(chosen, rejected, None, "diff")


def mark_messages(row: Mapping[str, Any], chosen: str, rejected: str) -> MarkedTexts:
    """Finds the words in which responses differ that are more than one text, and have no other spans.

    Raises:
        BadRow: If there are offsets, which would count characters of one text, or tags.
    """
    remedy = "Such responses are marked by a diff: leave it out, or write each as one message that is a text."
    for column in ("chosen_spans", "rejected_spans"):
        if row.get(column) is not None and row.get("spans_from") != "diff":
            rule = "offsets are into one text, and the response has tool calls or several messages"
            raise BadRow(column, row[column], rule, remedy)
    for column, text in (("chosen", chosen), ("rejected", rejected)):
        if has_tags(text):
            rule = "tags stand in one text, and the response has tool calls or several messages"
            raise BadRow(column, text, rule, remedy)
    return MarkedTexts(chosen, rejected, None, "diff")


def _check_offsets(offsets: dict[str, Any], chosen: str, rejected: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    for column, value in offsets.items():
        if value is None:
            remedy = "Write offsets for both responses; [] marks nothing in one of them."
            raise BadRow(column, value, "there are offsets for one response only", remedy)
    return (
        check_spans(offsets["chosen_spans"], chosen, "chosen_spans"),
        check_spans(offsets["rejected_spans"], rejected, "rejected_spans"),
    )


def _check_source(source: object) -> str:
    if source is None:
        return "offsets"
    if source not in SOURCES:
        raise BadRow("spans_from", source, "the origin of the spans is unknown", f"Write one of {', '.join(SOURCES)}.")
    return str(source)

"""The rules that a preference row has to follow, checked in the order a reader would."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from align.data.conversations import Message, split_pair
from align.data.problems import BadRow
from align.data.rules import check_label
from align.data.spans import Span, check_spans, diff_spans, has_tags, strip_tags

UNREAD = ("images", "image", "tools", "chat_template_kwargs")
SOURCES = ("offsets", "tags", "diff")


class CheckedPair(NamedTuple):
    """The parts of a row that passed."""

    id: str | None
    prompt: str | list[Message]
    chosen: str
    rejected: str
    chosen_spans: tuple[Span, ...]
    rejected_spans: tuple[Span, ...]
    spans_from: str  # offsets, tags or diff


def check_pair(row: Mapping[str, Any]) -> CheckedPair:
    """Checks a preference row and finds the spans in which its responses differ.

    Spans are the character offsets `chosen_spans` and `rejected_spans` into the text of the responses, else what
    stands between `<MASK>` tags, else the words that a diff finds. A row made by `pair_to_row` gives the same pair
    again.

    Raises:
        BadRow: At the first rule the row breaks.

    Example:
        >>> pair = check_pair({"prompt": "Capital of France?", "chosen": "It is Paris.", "rejected": "It is Rome."})
        >>> pair.chosen_spans, pair.rejected_spans, pair.spans_from
        ((Span(start=6, end=11),), (Span(start=6, end=10),), 'diff')
    """
    for column in UNREAD:
        if row.get(column):
            raise BadRow(column, row[column], f"`{column}` is not read with preference pairs", "Leave the column out.")
    prompt, chosen, rejected = split_pair(row)
    offsets = {column: row.get(column) for column in ("chosen_spans", "rejected_spans")}
    tagged = [column for column, text in (("chosen", chosen), ("rejected", rejected)) if has_tags(text)]
    if tagged and any(value is not None for value in offsets.values()):
        remedy = "Leave out the columns `chosen_spans` and `rejected_spans`, or the tags."
        raise BadRow(tagged[0], row[tagged[0]], "there are tags and offsets", remedy)
    chosen, chosen_tagged = strip_tags(chosen, "chosen")
    rejected, rejected_tagged = strip_tags(rejected, "rejected")
    if chosen.strip() == rejected.strip():
        raise BadRow("rejected", rejected, "chosen and rejected are equal", "Change one or leave the row out.")
    if tagged:
        spans, source = (chosen_tagged, rejected_tagged), "tags"
    elif any(value is not None for value in offsets.values()):
        spans, source = _check_offsets(offsets, chosen, rejected), _check_source(row.get("spans_from"))
    else:
        spans, source = diff_spans(chosen, rejected), "diff"
    return CheckedPair(check_label("id", row.get("id")), prompt, chosen, rejected, *spans, source)


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

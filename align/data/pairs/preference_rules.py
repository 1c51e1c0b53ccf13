"""The rules that a preference row has to follow, checked in the order a reader would."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from align.data.conversations import Message, split_pair
from align.data.media.rows import listed_images
from align.data.pairs.pair import UNREAD, check_differ, check_unread
from align.data.pairs.span_rules import mark_texts
from align.data.pairs.spans import Span
from align.data.rules import check_label


class CheckedPair(NamedTuple):
    """The parts of a row that passed."""

    id: str | None
    prompt: str | list[Message]
    chosen: str
    rejected: str
    chosen_spans: tuple[Span, ...]
    rejected_spans: tuple[Span, ...]
    spans_from: str  # offsets, tags or diff
    images: tuple[Any, ...] = ()  # as they stand in the row


def check_pair(row: Mapping[str, Any]) -> CheckedPair:
    """Checks a preference row and finds the spans in which its responses differ.

    A row made by `pair_to_row` gives the same pair again. Its images are not opened here.

    Raises:
        BadRow: At the first rule the row breaks.

    Example:
        >>> pair = check_pair({"prompt": "Capital of France?", "chosen": "It is Paris.", "rejected": "It is Rome."})
        >>> pair.chosen_spans, pair.rejected_spans, pair.spans_from
        ((Span(start=6, end=11),), (Span(start=6, end=10),), 'diff')
    """
    check_unread(row, UNREAD)
    prompt, chosen, rejected = split_pair(row)
    marked = mark_texts(row, chosen, rejected)
    check_differ(marked.chosen, marked.rejected)
    return CheckedPair(check_label("id", row.get("id")), prompt, *marked, listed_images(row))

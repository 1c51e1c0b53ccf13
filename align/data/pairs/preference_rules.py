"""The rules that a preference row has to follow, checked in the order a reader would."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from align.data.conversations import Message
from align.data.media.rows import listed_images
from align.data.pairs.pair import check_differ
from align.data.pairs.span_rules import Spans, mark_messages, mark_texts, spans_of
from align.data.pairs.split_pair import split_pair
from align.data.rules import check_label
from align.data.template_settings import check_template_columns


class CheckedPair(NamedTuple):
    """The parts of a row that passed."""

    id: str | None
    prompt: str | list[Message]
    chosen: str
    rejected: str
    given_spans: tuple[Spans, Spans] | None  # None for those of a diff
    spans_from: str  # offsets, tags or diff
    images: tuple[Any, ...] = ()  # as they stand in the row
    messages: tuple[list[Message], list[Message]] | None = None  # of responses that are more than one text
    template: Mapping[str, Any] = MappingProxyType({})  # `tools` and `chat_template_kwargs`
    is_implicit: bool = False  # the prompt is what two texts began with

    @property
    def chosen_spans(self) -> Spans:
        """What counts in the better response, in characters."""
        return spans_of(self.chosen, self.rejected, self.given_spans)[0]

    @property
    def rejected_spans(self) -> Spans:
        """What counts in the worse one."""
        return spans_of(self.chosen, self.rejected, self.given_spans)[1]


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
    split = split_pair(row, images=True)
    template = check_template_columns(row, is_text=isinstance(split.prompt, str))
    if split.messages is None:
        marked = mark_texts(row, split.chosen, split.rejected)
    else:
        marked = mark_messages(row, split.chosen, split.rejected)
    check_differ(marked.chosen, marked.rejected)
    return CheckedPair(
        check_label("id", row.get("id")), split.prompt, *marked, listed_images(row), split.messages, template,
        split.is_implicit,
    )  # fmt: skip

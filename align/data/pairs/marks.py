"""Which tokens of a preference pair are marked: those of its spans, those that differ, or all of them."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from align.data.pairs.preferences import PreferencePair
from align.data.pairs.spans import Span, diff_spans, diff_tokens
from align.data.problems import shorten
from align.data.texts import count_shared

Unit = Literal["whole", "word", "token"]


class TokenizedResponse(NamedTuple):
    """A response as a tokenizer sees it; what is not given is not read where all tokens are marked."""

    ids: Sequence[int]  # in front of them perhaps those of the prompt
    spans: Sequence[Span] = ()  # in characters of `response`
    offsets: Sequence[tuple[int, int]] = ()  # start and end of each token in `full`, counted from `begin`
    full: str = ""  # prompt and response, as the model reads them
    prompt: str = ""  # as the model reads it
    response: str = ""
    begin: int = 0  # where in `full` the tokens begin

    def place(self) -> int:
        """Finds what to add to a character of `response` to have it as `offsets` count; see `place_response`."""
        return place_response(self.full, self.prompt, self.response) - self.begin


def tokenized_responses(
    pair: PreferencePair, prompt: str, full: Sequence[str], tokens: Sequence[Any], *, begin: int = 0
) -> tuple[TokenizedResponse, TokenizedResponse]:
    """Puts the tokens of both responses, ids and offsets of each, beside the text that they are of and its spans.

    Of responses that are more than one text, such as tool calls, it is what the chat template writes of them, and the
    spans are a diff of that. `prompt` and `full` (prompt and response) are as the model reads them.
    """
    texts, spans = [pair.chosen, pair.rejected], (pair.chosen_spans, pair.rejected_spans)
    if pair.messages is not None:
        texts = [text[count_shared(text, prompt) :] for text in full]
        spans = diff_spans(*texts)
    better, worse = (
        TokenizedResponse(ids, marked, offsets, whole, prompt, text, begin)
        for (ids, offsets), whole, text, marked in zip(tokens, full, texts, spans, strict=True)
    )
    return better, worse


class MarkRule(NamedTuple):
    """What is to be marked, in the words of the settings."""

    spans: str  # differing or whole
    diff_unit: str  # word or token, for pairs whose spans are from a diff
    on_missing_spans: str  # drop or whole
    max_length: int | None  # tokens that are read; None if all are, or if the beginning is cut off

    @classmethod
    def read(cls, settings: Any) -> "MarkRule":
        """Makes the rule of a recipe or a trainer, whose settings are asked for by name."""
        max_length = settings.max_length if settings.truncation_mode == "keep_start" else None
        return cls(settings.spans, settings.diff_unit, settings.on_missing_spans, max_length)

    @property
    def keeps_whole(self) -> bool:
        """Whether a pair with nothing to mark is marked whole rather than left out."""
        return self.on_missing_spans == "whole"

    def unit(self, spans_from: str) -> Unit:
        """Says by what a pair is marked, given where its spans are from."""
        if self.spans == "whole":
            return "whole"
        return "token" if self.diff_unit == "token" and spans_from == "diff" else "word"

    def can_mark(self, pair: PreferencePair) -> bool:
        """Says whether something may be found to mark, as far as it can be told without tokens."""
        return self.unit(pair.spans_from) != "word" or pair.has_spans


class Marks(NamedTuple):
    """The marks of a pair."""

    chosen: list[int]  # 1 for each marked token of the response and 0 for the others, also beyond `max_length`
    rejected: list[int]
    unit: Unit  # `whole` also where nothing else was found and the rule keeps such pairs
    lost: Literal["missing", "cut"] | None  # nothing was found to mark, or all of it is beyond `max_length`
    is_read: bool  # whether a marked token is; a pair without is left out of training


def decide_marks(
    rule: MarkRule,
    spans_from: str,
    chosen: TokenizedResponse,
    rejected: TokenizedResponse,
    *,
    prompt: int,
    skip: int = 0,
) -> Marks:
    """Decides which tokens of a pair are marked, for the check and for training.

    The model reads `prompt` tokens in front of the responses; `skip` of the tokens given are in front of them. Raises
    `ValueError` if a chat template changes a response whose spans are to be found.

    Example:
        >>> rule = MarkRule("differing", "token", "drop", max_length=None)
        >>> decide_marks(rule, "diff", TokenizedResponse([5, 6, 7]), TokenizedResponse([5, 8]), prompt=3)
        Marks(chosen=[0, 1, 1], rejected=[0, 1], unit='token', lost=None, is_read=True)
    """
    sides = (chosen, rejected)
    read = None if rule.max_length is None else max(0, rule.max_length - prompt)
    whole_chosen, whole_rejected = ([1] * (len(side.ids) - skip) for side in sides)
    unit = rule.unit(spans_from)
    if unit == "whole":
        return Marks(whole_chosen, whole_rejected, "whole", None, read != 0)
    found = (
        diff_tokens(chosen.ids, rejected.ids)
        if unit == "token"
        else [mark_tokens(side.offsets, side.spans, side.place()) for side in sides]
    )
    chosen_marks, rejected_marks = (marks[skip:] for marks in found)
    if any(chosen_marks[:read]) or any(rejected_marks[:read]):
        return Marks(chosen_marks, rejected_marks, unit, None, True)
    lost: Literal["missing", "cut"] = "cut" if any(chosen_marks) or any(rejected_marks) else "missing"
    if rule.keeps_whole:
        return Marks(whole_chosen, whole_rejected, "whole", lost, read != 0)
    return Marks(chosen_marks, rejected_marks, unit, lost, False)


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
    shared = count_shared(full, prompt)
    places = [found.start() for found in re.compile(f"(?={re.escape(text)})").finditer(full, shared)]
    # A template may write something of its own in front, such as an empty <think> block. The response is then the
    # text that starts a line, and not a part of a tag.
    free = [place for place in places if place == shared or full[place - 1].isspace()]
    # Its first characters may happen to be those with which the prompt goes on.
    begun = full.rfind(text, max(0, shared - len(text)), shared + len(text))
    place = (free or places or [begun])[0]
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

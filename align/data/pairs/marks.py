"""Which tokens of a preference pair are marked: those of its spans, those that differ, or all of them."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, Protocol

from align.data.pairs.preferences import PreferencePair
from align.data.pairs.span_tokens import count_shared_characters, mark_tokens, place_response
from align.data.pairs.spans import Span, diff_spans, diff_tokens

Unit = Literal["whole", "word", "token"]


class TokenizedResponse(NamedTuple):
    """A response as a tokenizer sees it; what is not given is not read where all tokens are marked.

    Attributes:
        ids: Its tokens, in front of them perhaps those of the prompt.
        spans: What counts in it, in characters of `response`.
        offsets: Start and end of each token in `full`, counted from `begin`.
        full: Prompt and response, as the model reads them.
        prompt: The prompt, as the model reads it.
        response: The text of the response.
        begin: Where in `full` the tokens begin.
    """

    ids: Sequence[int]
    spans: Sequence[Span] = ()
    offsets: Sequence[tuple[int, int]] = ()
    full: str = ""
    prompt: str = ""
    response: str = ""
    begin: int = 0

    def place(self) -> int:
        """Finds what to add to a character of `response` to have it as `offsets` count; see `place_response`."""
        return place_response(self.full, self.prompt, self.response) - self.begin


class AnyPair(Protocol):
    """What is read of a pair to find its marked texts."""

    @property
    def chosen(self) -> str:
        """Text of the better response."""

    @property
    def rejected(self) -> str:
        """Text of the worse one."""

    @property
    def chosen_spans(self) -> Sequence[Span]:
        """What counts in the better one."""

    @property
    def rejected_spans(self) -> Sequence[Span]:
        """What counts in the worse one."""

    @property
    def messages(self) -> Any:
        """Those of responses that are more than one text, else None."""


def marked_texts(pair: AnyPair, prompt: str, full: Sequence[str]) -> list[tuple[str, Sequence[Span]]]:
    """Returns the text of each response and the spans in it.

    Of responses that are more than one text, such as tool calls, it is what the chat template writes of them, and the
    spans are a diff of that.

    Args:
        pair: The pair.
        prompt: Its prompt, as the model reads it.
        full: The prompt and each response, as the model reads them.
    """
    if pair.messages is None:
        return [(pair.chosen, pair.chosen_spans), (pair.rejected, pair.rejected_spans)]
    chosen, rejected = (text[count_shared_characters(text, prompt) :] for text in full)
    return list(zip((chosen, rejected), diff_spans(chosen, rejected), strict=True))


class MarkRule(NamedTuple):
    """What is to be marked, in the words of the settings.

    Attributes:
        spans: `differing` or `whole`.
        diff_unit: `word` or `token`, for pairs whose spans are from a diff.
        on_missing_spans: `drop` or `whole`.
        max_length: Tokens of prompt and response that are read; None if all are, or if the beginning is cut off.
    """

    spans: str
    diff_unit: str
    on_missing_spans: str
    max_length: int | None

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
    """The marks of a pair.

    Attributes:
        chosen: 1 for each marked token of the response and 0 for the others, also beyond `max_length`.
        rejected: The same for the other response.
        unit: What they were taken by; `whole` also where nothing else was found and the rule keeps such pairs.
        lost: Why no token of a span is read: nothing was found to mark, or all of it is beyond `max_length`.
        is_read: Whether a marked token is read; a pair without is left out of training.
    """

    chosen: list[int]
    rejected: list[int]
    unit: Unit
    lost: Literal["missing", "cut"] | None
    is_read: bool


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

    Args:
        rule: What the recipe asks for.
        spans_from: Where the spans of the pair are from: `offsets`, `tags` or `diff`.
        chosen: The better response.
        rejected: The worse one.
        prompt: Tokens that the model reads in front of the responses.
        skip: How many of the tokens given are in front of the responses.

    Raises:
        ValueError: If a chat template changes a response whose spans are to be found.

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


def count_shared(prompt: Sequence[int], *texts: Sequence[int]) -> int:
    """Counts the tokens with which the prompt and all texts begin; TRL starts both responses behind them."""
    rows = zip(prompt, *texts, strict=False)
    shortest = min(len(prompt), *map(len, texts))
    return next((i for i, (token, *others) in enumerate(rows) if any(other != token for other in others)), shortest)

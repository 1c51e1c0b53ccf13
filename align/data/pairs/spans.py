"""The parts of two responses that count: given as offsets, marked with tags, or found by a diff.

A span never begins or ends with whitespace, wherever it comes from: whether a tokenizer ties a space to the word
before or after it should not decide which tokens are marked, and chat templates may trim the ends of a response.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import pairwise, zip_longest
from typing import Any, NamedTuple

import regex

from align.data.problems import BadRow

TAG = re.compile(r"</?MASK>")
TAGGED = re.compile(r"<MASK>(\s*)(.*?)(\s*)</MASK>", re.DOTALL)
SPACE = r"[\s\x1c-\x1f]"  # what `str.isspace` says; the library's \s lacks four characters
ALONE = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
# A Chinese or Japanese character, a run of letters and digits with their marks, or one other visible character.
WORD = regex.compile(rf"{ALONE}\p{{M}}*|(?:(?!{ALONE})\w)+|(?!{SPACE})\X")
ASCII_WORD = re.compile(r"\w+|\S")  # the same where there is nothing but ASCII, several times faster


class Span(NamedTuple):
    """Character offsets into the text of a response, half-open."""

    start: int
    end: int


def strip_tags(text: str, column: str) -> tuple[str, tuple[Span, ...]]:
    """Removes `<MASK>...</MASK>` tags and returns what stood between them as spans.

    Whitespace just inside a tag is not part of the span. It stays in the text, except for spaces that would be there
    twice, at an end of the text or, in the padded form `<MASK> x </MASK>`, before or after punctuation.

    Example:
        >>> strip_tags("<MASK>Paris</MASK> is old", "chosen")
        ('Paris is old', (Span(start=0, end=5),))
        >>> strip_tags("In <MASK> Paris </MASK>, mostly", "chosen")
        ('In Paris, mostly', (Span(start=3, end=8),))
    """
    _check_tags(text, column)
    plain, spans, end = "", [], 0
    for tagged in TAGGED.finditer(text):
        left, body, right = tagged.groups()
        padded = left == right == " "
        plain += text[end : tagged.start()]
        end = tagged.end()
        plain += "" if _is_doubled(left, plain[-1:], padded) else left
        spans.append(Span(len(plain), len(plain) + len(body)))
        followed_by_tag = text.startswith("<MASK>", end)
        plain += body + ("" if _is_doubled(right, text[end : end + 1], padded and not followed_by_tag) else right)
    return plain + text[end:], tuple(spans)


def check_spans(value: object, text: str, column: str) -> tuple[Span, ...]:
    """Checks offsets from the data, such as `[[0, 5], [9, 12]]` in characters, half-open, and puts them in order.

    Example:
        >>> check_spans([[6, 9], [0, 6]], "Paris is old", "chosen_spans")
        (Span(start=0, end=5), Span(start=6, end=8))
    """
    if not isinstance(value, list | tuple):
        raise BadRow(column, value, "the spans are not a list", "Write offsets such as [[0, 5]]; [] marks nothing.")
    spans = sorted(_check_span(pair, text, column) for pair in value)
    for before, after in pairwise(spans):
        if after.start < before.end:
            pair = [list(before), list(after)]
            raise BadRow(column, pair, "two spans overlap", "Join them, or end the first where the second starts.")
    return tuple(spans)


def diff_spans(chosen: str, rejected: str) -> tuple[tuple[Span, ...], tuple[Span, ...]]:
    """Finds the words in which two responses differ, as spans of `chosen` and of `rejected`.

    Words are runs of letters and digits, single punctuation marks, and single Chinese or Japanese characters;
    whitespace is not compared. Neighbouring words that differ form one span. Where one text only has words more, the
    span includes the next word in both texts, because that is where the shorter one departs from the longer one. At
    the end of the text there is no next word, and the shorter text has no span.

    Example:
        >>> chosen, rejected = "A red car stops.", "A car waits."
        >>> [[text[a:b] for a, b in spans] for text, spans in zip((chosen, rejected), diff_spans(chosen, rejected))]
        [['red car', 'stops'], ['car', 'waits']]
    """
    chosen_words, rejected_words = list(_words(chosen)), list(_words(rejected))
    chosen_spans, rejected_spans = [], []
    matcher = SequenceMatcher(
        None, [chosen[a:b] for a, b in chosen_words], [rejected[a:b] for a, b in rejected_words], autojunk=False
    )
    for kind, i1, i2, j1, j2 in matcher.get_opcodes():
        if kind != "equal":
            borrowed = 1 if kind != "replace" else 0
            chosen_spans += _join(chosen_words[i1 : i2 + borrowed])
            rejected_spans += _join(rejected_words[j1 : j2 + borrowed])
    return tuple(chosen_spans), tuple(rejected_spans)


def words_differ(chosen: str, rejected: str) -> bool:
    """Says whether `diff_spans` finds a span, at a fraction of its cost.

    Example:
        >>> words_differ("It rusts.", "It  rusts ."), words_differ("It rusts.", "It rusts")
        (False, True)
    """
    # The words together are all that is visible, and this is seen sooner than where words end.
    if chosen.isascii() and rejected.isascii() and "".join(chosen.split()) != "".join(rejected.split()):
        return True
    sides = [(match[0] for match in _matches(text)) for text in (chosen, rejected)]
    return any(ours != theirs for ours, theirs in zip_longest(*sides))


def diff_tokens(chosen_ids: Sequence[int], rejected_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Marks with 1 the tokens that stand for each other in two responses, and not those that only one of them has.

    Example:
        >>> diff_tokens([5, 6, 7, 8], [5, 9, 7])
        ([0, 1, 0, 0], [0, 1, 0])
    """
    chosen, rejected = [0] * len(chosen_ids), [0] * len(rejected_ids)
    for kind, i1, i2, j1, j2 in SequenceMatcher(None, chosen_ids, rejected_ids, autojunk=False).get_opcodes():
        if kind == "replace":
            chosen[i1:i2], rejected[j1:j2] = [1] * (i2 - i1), [1] * (j2 - j1)
    return chosen, rejected


def _check_tags(text: str, column: str) -> None:
    is_open = False
    for tag in TAG.finditer(text):
        place = text[max(0, tag.start() - 20) : tag.end() + 20]
        if tag[0] == "<MASK>" and is_open:
            raise BadRow(column, place, "a <MASK> tag is inside another one", "Close the first before the second.")
        if tag[0] == "</MASK>" and not is_open:
            raise BadRow(column, place, "a </MASK> tag was not opened", "Write <MASK> before the marked words.")
        is_open = not is_open
    if is_open:
        raise BadRow(column, text, "a <MASK> tag is not closed", "Write </MASK> after the marked words.")
    for tagged in TAGGED.finditer(text):
        if not tagged[2]:
            raise BadRow(column, tagged[0], "there is nothing between the tags", "Put words between them.")


def _is_doubled(spaces: str, neighbour: str, padded: bool) -> bool:
    """Says whether spaces inside a tag are there for the tag's sake; `neighbour` is the character outside."""
    if spaces.strip(" "):
        return False
    return not neighbour or neighbour.isspace() or (padded and not neighbour.isalnum())


def _check_span(pair: object, text: str, column: str) -> Span:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or not all(type(offset) is int for offset in pair):
        raise BadRow(column, pair, "a span is not a pair of whole numbers", "Write offsets such as [0, 5].")
    start, end = pair
    if not 0 <= start <= end <= len(text):
        remedy = f"Offsets are characters of the response, from 0 to {len(text)}, the smaller one first."
        raise BadRow(column, pair, "a span is outside the text", remedy)
    marked = text[start:end]
    if not marked.strip():
        raise BadRow(column, pair, "a span marks nothing", "Mark at least one visible character, or leave it out.")
    return Span(start + len(marked) - len(marked.lstrip()), start + len(marked.rstrip()))


def _words(text: str) -> Iterator[Span]:
    return (Span(*word.span()) for word in _matches(text))


def _matches(text: str) -> Iterator[Any]:
    return ASCII_WORD.finditer(text) if text.isascii() else WORD.finditer(text)


def _join(words: Sequence[Span]) -> list[Span]:
    return [Span(words[0].start, words[-1].end)] if words else []


SOURCES = ("offsets", "tags", "diff")

Spans = tuple[Span, ...]


@lru_cache(maxsize=16)  # the spans of each side are asked for by themselves
def spans_of(chosen: str, rejected: str, given: tuple[Spans, Spans] | None) -> tuple[Spans, Spans]:
    """Returns the spans of two responses: those that the data have, else those of a diff."""
    return diff_spans(chosen, rejected) if given is None else given


class MarkedTexts(NamedTuple):
    """Two responses without tags, and what counts in them."""

    chosen: str
    rejected: str
    given_spans: tuple[Spans, Spans] | None  # None for those of a diff
    spans_from: str  # offsets, tags or diff


def mark_texts(row: Mapping[str, Any], chosen: str, rejected: str, *, are_texts: bool = True) -> MarkedTexts:
    """Finds the spans of a row's responses; those that are more than one text can only be marked by a diff.

    Spans are the character offsets `chosen_spans` and `rejected_spans` into the text of the responses, else what
    stands between `<MASK>` tags, else the words that a diff finds.
    """
    offsets = [column for column in ("chosen_spans", "rejected_spans") if row.get(column) is not None]
    tagged = [column for column, text in (("chosen", chosen), ("rejected", rejected)) if TAG.search(text)]
    if not are_texts:
        if given := [*(offsets if row.get("spans_from") != "diff" else ()), *tagged]:
            rule = "tags and offsets are into one text, and the response is more than that"
            remedy = "Such responses are marked by a diff: leave it out, or write each as one message that is a text."
            raise BadRow(given[0], row[given[0]], rule, remedy)
        return MarkedTexts(chosen, rejected, None, "diff")
    if tagged and offsets:
        remedy = "Leave out the columns `chosen_spans` and `rejected_spans`, or the tags."
        raise BadRow(tagged[0], row[tagged[0]], "there are tags and offsets", remedy)
    chosen, chosen_tagged = strip_tags(chosen, "chosen")
    rejected, rejected_tagged = strip_tags(rejected, "rejected")
    if tagged:
        return MarkedTexts(chosen, rejected, (chosen_tagged, rejected_tagged), "tags")
    if offsets:
        ours = check_spans(row.get("chosen_spans"), chosen, "chosen_spans")
        theirs = check_spans(row.get("rejected_spans"), rejected, "rejected_spans")
        return MarkedTexts(chosen, rejected, (ours, theirs), _check_source(row.get("spans_from")))
    return MarkedTexts(chosen, rejected, None, "diff")


def _check_source(source: object) -> str:
    if source is None:
        return "offsets"
    if source not in SOURCES:
        raise BadRow("spans_from", source, "the origin of the spans is unknown", f"Write one of {', '.join(SOURCES)}.")
    return str(source)

"""What can be said of a right answer by its text alone: whether it is a number, JSON, a list, words or an option."""

import json
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from rewards.places import index_of, options_of, others_of
from rewards.reading.numbers import MINUS, NUMBER, read_number
from rewards.running.contract.trial import row_in_form

LONGEST = 200  # characters of an answer that is written otherwise; a longer one is a text or a program
DIGITS = 15  # of a number; a longer one is a code
NOT_A_SUM = re.compile(r"0\d")  # 02139 and 007 are codes
VERSION = re.compile(r"\d+\.\d+\.\d+")
WORDS = re.compile(r"[^\W\d_]+(?:[ '-][^\W\d_]+)*")
ITEMS = re.compile(r"([\[({]?)([^\[\](){}]+)([\])}]?)")
SAME = ({"yes", "true", "correct", "right"}, {"no", "false", "incorrect", "wrong"})


class Number(NamedTuple):
    """A number as a right answer writes it."""

    value: Fraction  # without its sign; 50 for "50%"
    sign: str
    before: str  # a currency
    body: str
    behind: str  # a unit, with the space before it
    unit: str  # as `write_unit` writes it

    def with_body(self, body: str | None) -> str | None:
        """Writes another number in its place; None of None."""
        return None if body is None else f"{self.sign}{self.before}{body}{self.behind}"

    def with_sign(self, sign: str) -> str | None:
        """Writes it with another sign."""
        return self._replace(sign=sign).with_body(self.body)

    @property
    def is_plain(self) -> bool:
        """Whether it has no unit."""
        return not self.unit

    @property
    def whole(self) -> int | None:
        """The number where it is written as a whole one in digits alone."""
        return int(self.body) if self.body.isdecimal() and self.body.isascii() else None


class Gold(NamedTuple):
    """A right answer, and what its row says of it."""

    text: str
    prompt: str = ""
    other: str | None = None  # the right answer of another row, which is wrong here
    options: tuple[str, ...] = ()  # of a multiple-choice question
    place: int = 0  # of the right one
    synonyms: tuple[str, ...] = ()  # other right answers, which a column of the row names
    number: Number | None = None
    value: Any = None  # of JSON: an object or a list
    items: tuple[str, tuple[str, ...], str] | None = None  # a list in brackets, if it is in any
    is_words: bool = False


def read_golds(
    rows: Sequence[Mapping[str, Any]], rights: Sequence[str | None], synonyms: str = "", options: str = ""
) -> list[Gold]:
    """Reads right answers `(N,)`, those that are None as empty; columns are named of other right ones, and options."""
    has_versions, donors = any(VERSION.search(right) for right in rights if right), others_of(rights)
    return [
        _read(
            row, right or "", [rights[k] for of in donors if (k := of[i]) is not None], synonyms, options, has_versions
        )
        for i, (row, right) in enumerate(zip(rows, rights, strict=True))
    ]


def _read(
    row: Mapping[str, Any], text: str, others: Sequence[str | None], synonyms: str, options: str, has_versions: bool
) -> Gold:
    named = row.get(synonyms) if synonyms else None
    listed = [named] if isinstance(named, str) else named if isinstance(named, list | tuple) else []
    same = tuple(each for each in listed if isinstance(each, str) and each.strip())
    beside = [each for value in row.values() if isinstance(value, list | tuple) and text in value for each in value]
    other = next((each for each in others if each and not may_be_same(each, text)), None)
    if other and any(may_be_same(other, each) for each in (*same, *beside) if isinstance(each, str)):
        other = None
    gold = Gold(text, str(row_in_form(row, "text").get("prompt")), other, synonyms=same)
    if options and (place := index_of(text, row.get(options))) is not None:
        return gold._replace(options=tuple(options_of(row.get(options))), place=place, other=None)
    if len(text) > LONGEST or "\n" in text:
        return gold._replace(value=_json(text))
    number = None if has_versions else read_as_number(text)
    value = None if number else _json(text)
    items = None if number or isinstance(value, dict) else _items(text)
    is_small = all(word[1:] == word[1:].lower() for word in re.split("[ '-]", text))
    is_words = bool(WORDS.fullmatch(text)) and is_small and len(text) > 3  # no formula, unit or abbreviation
    return gold._replace(number=number, value=value, items=items, is_words=is_words)


def read_as_number(text: str) -> Number | None:
    """Reads a right answer that is one number; None for codes, powers of ten and what is wrapped in signs.

    Example:
        >>> read_as_number("-$1,200.50")[1:5], read_as_number("02139"), read_as_number("3/4 km")[3:5]
        (('-', '$', '1,200.50', ''), None, ('3/4', ' km'))
    """
    plain = text.translate(MINUS)
    match, read = NUMBER.fullmatch(plain), read_number(text)
    if match is None or read is None or match["e"] or match["ten"] or match["bare_ten"] or match["inner_sign"]:
        return None
    start = max(match.end(name) for name in ("sign", "currency"))
    ends = [match.start(name) for name in ("unit", "currency_behind") if match[name]]
    body = plain[max(0, start) : min(ends, default=len(plain))].rstrip()
    if NOT_A_SUM.match(body) or sum(map(str.isdigit, body)) > DIGITS or body.endswith("."):
        return None
    sign = plain[: max(0, match.end("sign"))].strip()
    before = plain[max(0, match.end("sign")) : max(0, start)]
    return Number(abs(read.value), sign, before, body, plain[max(0, start) + len(body) :], read.unit)


def _json(text: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and value else None


def _items(text: str) -> tuple[str, tuple[str, ...], str] | None:
    """Takes a list of short items apart; none of thousands, quotes or a sentence."""
    match = ITEMS.fullmatch(text)
    if match is None or bool(match[1]) != bool(match[3]) or '"' in text:
        return None
    items = tuple(each.strip() for each in match[2].split(","))
    alike = len({bool(read_number(each)) for each in items}) == 1 and all(0 < len(each) <= 20 for each in items)
    return (match[1], items, match[3]) if len(items) > 1 and alike and all(len(i.split()) < 3 for i in items) else None


def may_be_same(one: str, other: str) -> bool:
    """Tells whether two answers may mean the same: equal numbers, one within the other, or two words for yes.

    Example:
        >>> may_be_same("0.5", "1/2"), may_be_same("Paris", "Paris, France"), may_be_same("12", "125")
        (True, True, False)
    """
    numbers = read_number(one), read_number(other)
    if numbers[0] and numbers[1]:
        sizes = [{each.value, each.value / 100} if each.unit == "%" else {each.value} for each in numbers if each]
        return bool(sizes[0] & sizes[1])
    a, b = (re.sub(r"\W+", "", each.casefold()) or each for each in (one, other))
    return a in b or b in a or any({a, b} <= words for words in SAME)

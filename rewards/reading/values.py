"""Finds values in texts of any script: numbers in every writing, words within the boundaries of their script."""

import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from html import unescape
from typing import Any, NamedTuple
from urllib.parse import unquote

from rewards.reading.numbers import MAX_CHARACTERS, SAME_SIGN


class Pattern:
    """A pattern of `regex`, which knows scripts; it is compiled when it is first used."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __getattr__(self, name: str) -> Any:
        import regex

        self.__dict__[name] = getattr(regex.compile(self._text), name)
        return self.__dict__[name]


# Scripts that put no spaces between words, so that a value may stand right beside another word.
_UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\u30fc\u3005"
UNSPACED = Pattern(f"[{_UNSPACED}]")
_BENDS = Pattern(rf"[{_UNSPACED}\p{{Hangul}}]")  # or put what belongs to a word right behind it
_LETTER = rf"(?V1:[[\p{{L}}\p{{M}}]--[{_UNSPACED}]])"
_GAP = " _'\u00a0\u2009\u202f"
_RUN = Pattern(rf"[0-9]+(?:[.,{_GAP}][0-9]+)*")
_GROUPED = Pattern(
    rf"[1-9][0-9]{{0,2}}([.,{_GAP}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:(?!\1)[.,][0-9]+)?"
    r"|[1-9][0-9]?(,)(?:[0-9]{2},)+[0-9]{3}(?:\.[0-9]+)?"
)
_PLAIN = Pattern(r"(?:0|[1-9][0-9]*)(?:[.,][0-9]+)?")
# What stands around digits that are a part of a word, a date, a time, a range, a version or a power of ten; a currency
# may stand right before a number.
_INSIDE = Pattern(
    rf"(?:{_LETTER}|[0-9][:/.-]|(?:[0-9_)]|{_LETTER})-|(?:^|\W)\.)\Z(?<!\b(?i:USD|EUR|GBP|JPY|CNY|RMB|CHF|INR|THB|KRW|CAD|AUD|Rs)\Z)"
)
_GOES_ON = Pattern(r"[:/.-][0-9]|e[+-]?[0-9]")
_MINUS = Pattern(rf"(?:(?<![\w)-])|(?<=[{_UNSPACED}]))-\Z")
_SPELLED = Pattern(  # from 3: smaller ones are pronouns and articles, too
    r"\b(?:three|four|five|(?:twen|thir|for|fif|eigh)ty|(?:thir|four|fif|eigh)teen|(?:six|seven|eight|nine)(?:teen|ty)?|ten"
    r"|eleven|twelve|hundred|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|(?:drei|vier|fünf|sech|sieb|acht|neun)zehn"
    r"|(?:zwan|vier|fünf|sech|sieb|acht|neun)zig|dreißig|hundert|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|treize"
    r"|quatorze|quinze|seize|vingts?|trente|(?:quar|cinqu|soix)ante|cent|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|doce"
    r"|trece|catorce|quince|dieci\w+|veint\w+|treinta|(?:cuar|cincu|ses|set|och|nov)enta|cien)\b"
    r"|[零〇一二三四五六七八九十百千]{2,}"
)
_BEHIND_WORD, _BEFORE_WORD = Pattern(rf"(?<={_LETTER}|[0-9])"), Pattern(rf"{_LETTER}|[0-9]")
_BEHIND_DIGIT, _BEFORE_DIGIT = Pattern(r"(?<=[0-9][.,:/-])"), Pattern(r"[.,:/-][0-9]")
_BEFORE_MARK = Pattern(r"\p{M}")
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_APART, _MARK = Pattern(r"[^\w\p{M}]+|_+"), Pattern(r"\p{Mn}+")


class Digits(NamedTuple):
    """Digits in a text, and the numbers that they may be."""

    start: int
    end: int
    values: tuple[Fraction | str, ...]  # `1.700` may be two
    is_number: bool  # and no part of a word, a date, a time, a range or a version


@lru_cache(maxsize=256)
def fold(text: str) -> str:
    """Writes a text in lower case, with plain digits, signs and forms, character by character."""
    return text.lower() if text.isascii() else "".join(map(_folded, text))


@lru_cache(maxsize=4096)
def _folded(each: str) -> str:
    plain = unicodedata.normalize("NFKC", each.translate(SAME_SIGN) or each).lower()
    digit = unicodedata.decimal(each, None)
    return str(digit) if digit is not None else plain if len(plain) == 1 else each


@lru_cache(maxsize=256)
def digits_in(text: str) -> tuple[Digits, ...]:
    """Lists all digits of a text; what is one number or several stands as both."""
    plain = fold(text)
    return tuple(each for run in _RUN.finditer(plain) for each in _readings(plain, *run.span()))


def _readings(text: str, start: int, end: int, is_part: bool = False) -> Iterator[Digits]:
    run = text[start:end]
    if values := _values(run):
        before, is_number = text[max(0, start - 5) : start], not is_part and not _GOES_ON.match(text, end)
        if _MINUS.search(before):
            yield Digits(start - 1, end, tuple(-value for value in values), is_number)
        else:
            yield Digits(start, end, values, is_number and not _INSIDE.search(before))
    if gap := next((gap for gap in f"{_GAP},." if gap in run and (gap in _GAP or not values)), ""):
        for part in run.split(gap):  # `17 300` is one number or two, and nobody can tell
            yield from _readings(text, start, start + len(part), is_part or bool(values))
            start += len(part) + 1
    elif not values:
        yield Digits(start, end, (Fraction(int(run)) if len(run) <= MAX_CHARACTERS else run,), False)


def _values(run: str) -> tuple[Fraction, ...]:
    """Lists the numbers that digits with separators may be, the likeliest first; none with zeros before it."""
    if len(run) > MAX_CHARACTERS:
        return ()
    found = [Fraction(run.replace(",", "."))] if _PLAIN.fullmatch(run) else []
    if grouped := _GROUPED.fullmatch(run):
        whole = run.replace(grouped[1] or grouped[2], "").replace(",", ".")
        found.insert(0 if grouped[1] != "." else len(found), Fraction(whole))
    return tuple(found)


@lru_cache(maxsize=256, typed=True)
def number_of(value: Any) -> Fraction | None:
    """Reads a value that is a number and nothing else; None for one with zeros before it, which is an id."""
    text = f"{Decimal(str(value)):f}" if isinstance(value, float) else str(value).strip()
    values = next((each.values for each in digits_in(text) if each[:2] == (0, len(text)) and each.is_number), ("",))
    return values[0] if isinstance(values[0], Fraction) else None


def places(text: str, value: Any) -> list[tuple[int, int]]:
    """Lists where a plain text states a value: the number, however it is written, or the words as a whole.

    Example:
        >>> places("ราคา17บาท", 17), places("id_17 of 170", "17"), places("Parisians", "Paris"), places("在巴黎", "巴")
        ([(4, 6)], [(3, 5)], [], [(1, 2)])
    """
    if (number := number_of(value)) is not None:
        return [(each.start, each.end) for each in digits_in(text) if each.is_number and number in each.values]
    words, plain = fold(str(value)).split(), fold(text)
    pattern = r"\s+".join(map(re.escape, words))
    return [each.span() for each in re.finditer(pattern, plain) if words and _is_whole(plain, *each.span())]


def _is_whole(text: str, start: int, end: int) -> bool:
    """Tells whether a part of a text ends no longer word or number; a script without spaces has no such ends."""
    first, last = text[start], text[end - 1]
    if (first.isalnum() and not UNSPACED.match(first) and _BEHIND_WORD.match(text, start)) or (
        text[start - 1 : start] == first and not first.isalnum()
    ):
        return False
    if (first.isdigit() and _BEHIND_DIGIT.match(text, start)) or (last.isdigit() and _BEFORE_DIGIT.match(text, end)):
        return False
    return not (_BEFORE_MARK if _BENDS.match(last) or not last.isalnum() else _BEFORE_WORD).match(text, end)


@lru_cache(maxsize=256)
def known_numbers(text: str) -> frozenset[Fraction | str]:
    """Lists the numbers of a text, those within words, dates and versions and those in words included."""
    return frozenset({value for each in digits_in(text) for value in each.values} | spelled_in(text))


def spelled_in(text: str) -> set[str]:
    """Lists numbers that a text spells out in English, German, French, Spanish or Chinese."""
    return set(_SPELLED.findall(fold(text)))


def mentions(text: str, value: Any) -> bool:
    """Tells whether a plain text may state a value in any form: within a word, bent, without accents, in a code."""
    if (number := number_of(value)) is not None:
        return number in known_numbers(text)
    words = _squashed(str(value))
    if UNSPACED.match(words):
        return words.replace(" ", "") in _squashed(text).replace(" ", "")
    if re.fullmatch(_DATE, str(value)):
        rest = known_numbers(re.sub(_DATE, " ", text))  # which may give it in words
        return words in _squashed(text) or {Fraction(int(words[:4])), Fraction(int(words[8:]))} <= rest
    if len(words) < 4:
        return bool(places(text, value))
    squashed = _squashed(text)
    return any(not _BEHIND_WORD.match(squashed, each.start()) for each in re.finditer(re.escape(words), squashed))


@lru_cache(maxsize=256)
def _squashed(text: str) -> str:
    text = unicodedata.normalize("NFKD", unquote(unescape(text)) if "%" in text or "&" in text else text).casefold()
    return " ".join(_APART.sub(" ", _MARK.sub("", text)).split())

"""Finds options whose meaning depends on the other options: on all of them, on their letters, or on their places."""

import re
import string
from collections.abc import Sequence
from functools import lru_cache

NOUN = r"(?:options?|choices?|answers?|alternatives?)"
COUNT = r"(?:all|both|none|neither|either|any|some|more than one|at least one|exactly one|only one|one|two|three)"
VERDICT = r"(?:\s+(?:is|are)(?:\s+(?:all|both))?\s+(?:correct|true|right|wrong|incorrect|false))?"
WHOLE = (
    rf"(?:{COUNT}(?:\s+of)?\s+(?:the\s+)?(?P<side>above|below|following|preceding)"
    rf"|{COUNT}\s+of\s+(?:these|those|them|the\s+others?)"
    rf"|{COUNT}\s+of\s+the\s+(?:other\s+|given\s+|listed\s+)?{NOUN}"
    rf"|(?:all|none)(?=\s+(?:is|are)\s)"
    rf"|both|neither)"
)
ANCHOR = re.compile(rf"{WHOLE}(?:\s+{NOUN})?{VERDICT}", re.IGNORECASE)

LETTER = r"(?:\(\s*[A-Z]\s*\)|[A-Z]\)?)"
DIGIT = r"(?:\(\s*[1-9]\s*\)|[1-9])"
JOIN = r"(?:\s*,\s*(?:and\s+|or\s+)?|\s+(?:and|or|nor|&)\s+|\s*&\s*)"
BEFORE = r"(?:(?:only|both|either|neither|all\s+of|all\s+(?:of\s+the\s+above\s+)?(?:except|but)|none\s+but)\s+)"
AFTER = r"(?:\s+(?:only|alone|both|together|above))"
END = rf"{VERDICT}"
LETTER_LIST = re.compile(rf"{BEFORE}*(?:the\s+)?(?P<letters>{LETTER}(?:{JOIN}{LETTER})+){AFTER}?{END}", re.IGNORECASE)
ONE_LETTER = re.compile(rf"(?:{BEFORE}+(?P<one>{LETTER}){AFTER}?|(?P<alone>{LETTER}){AFTER}){END}", re.IGNORECASE)
NOUN_AND_LETTER = re.compile(rf"(?i:\b{NOUN})\s+(?P<named>{LETTER}(?:{JOIN}{LETTER})*)(?!\w)")
NOUN_AND_DIGIT = re.compile(rf"(?i:\b{NOUN})\s+(?:no\.?\s*|#)?(?P<named>{DIGIT}(?:{JOIN}{DIGIT})*)(?![\w.])")
ORDINAL = r"(?:first|second|third|fourth|fifth|last|previous|preceding|next)"
PLACES = re.compile(
    rf"{BEFORE}*(?:of\s+)?the\s+(?:first|last|previous|preceding|other)\s+(?:two|three|four|five|[2-9])"
    rf"(?:\s+(?:{NOUN}|ones))?(?:\s+above)?{END}",
    re.IGNORECASE,
)
PLACE_AND_NOUN = re.compile(
    rf"\bthe\s+{ORDINAL}(?:\s+(?:and|or|two|three|four|the|{ORDINAL}))*\s+{NOUN}\b", re.IGNORECASE
)
OTHERS = re.compile(r"\bof\s+the\s+(?:above|below)\b", re.IGNORECASE)
ROMAN_ONE = "I"
# A word without which none of these patterns finds anything; most options have none.
TELLING = (
    "above", "below", "following", "preceding", "these", "those", "them", "other", "option", "choice", "answer",
    "alternative", "all", "none", "both", "neither", "first", "last", "previous",
)  # fmt: skip
LONE_LETTER = re.compile(r"\b[a-z]\b")


@lru_cache(maxsize=4096)
def is_anchored(option: str) -> bool:
    """Tells whether an option speaks of the others as a whole, such as "none of the above" or "all of these"."""
    return ANCHOR.fullmatch(_trim(option)) is not None


def stand_alone(options: Sequence[str]) -> bool:
    """Tells whether no option has a word by which one speaks of others, which is quickly seen."""
    text = "\n".join(options).lower()
    if not text.isascii() or any(word in text for word in TELLING):
        return False
    return LONE_LETTER.search(text) is None


def refers_to_letters(options: Sequence[str]) -> bool:
    """Tells whether what an option means depends on which option stands at which letter or place.

    Only letters that are shown count: with four options, "C and T" is about something else, and then so are "A and
    C" beside it. A Roman "I" is never taken for a letter.
    """
    live = set(string.ascii_uppercase[: len(options)]) - {ROMAN_ONE}
    texts = [_trim(option) for option in options]
    lists = [
        _letters(match)
        for text in texts
        for match in (LETTER_LIST.fullmatch(text), ONE_LETTER.fullmatch(text))
        if match
    ]
    if lists and all(letters <= live for letters in lists):
        return True
    return any(_names_place(text, len(options), live) for text in texts) or _speaks_of_one_side(texts)


def _names_place(text: str, num_options: int, live: set[str]) -> bool:
    named = [_letters(match) for match in NOUN_AND_LETTER.finditer(text)]
    digits = [int(digit) for match in NOUN_AND_DIGIT.finditer(text) for digit in re.findall(r"\d", match["named"])]
    return (
        any(letters <= live for letters in named)
        or any(digit <= num_options for digit in digits)
        or PLACES.fullmatch(text) is not None
        or PLACE_AND_NOUN.search(text) is not None
        or (OTHERS.search(text) is not None and not is_anchored(text))
    )


def _speaks_of_one_side(texts: Sequence[str]) -> bool:
    """Tells whether "above" leaves out an option that could move there, or "below" likewise."""
    movable = [i for i, text in enumerate(texts) if not is_anchored(text)]
    for i, text in enumerate(texts):
        match = ANCHOR.fullmatch(text)
        side = match["side"].lower() if match and match["side"] else None
        if side in ("above", "preceding") and any(j > i for j in movable):
            return True
        if side in ("below", "following") and any(j < i for j in movable):
            return True
    return False


def _letters(match: re.Match[str]) -> set[str]:
    text = next(value for value in match.groupdict().values() if value)
    return {letter.upper() for letter in re.findall(r"\b[A-Za-z]\b", text)}


def _trim(option: str) -> str:
    return " ".join(option.split()).rstrip(".!:; ")

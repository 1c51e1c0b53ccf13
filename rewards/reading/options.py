"""Multiple-choice options: show them, read a choice, shuffle them and map a choice back.

A choice is an index in the order shown. Content space is the order of a row's own `options`; a permutation `perm`
shows option `perm[j]` in place `j`.
"""

import random
import re
import string
from collections.abc import Sequence
from functools import lru_cache

LETTERS = string.ascii_uppercase
BARE_LETTER = re.compile(r"(?:\(\s*([A-Za-z])\s*\)|([A-Za-z])\s*[.):]?)")
_LABEL = r"[(\[]?(?<![^\s(\[])([A-Z])[.):\]]\s*(?=\S)"
_LABELS = re.compile(rf"^[ \t]*{_LABEL}", re.MULTILINE), re.compile(_LABEL)  # on lines of their own, or anywhere
LETTER_AND_TEXT = re.compile(r"(?:\(\s*([A-Za-z])\s*\)[.:]?|([A-Za-z])\s*[.):])\s*(\S.*)", re.DOTALL)


def render_options(options: Sequence[str]) -> str:
    r"""Writes options one per line behind their letters.

    Example:
        >>> render_options(["iron", "gold"])
        'A. iron\nB. gold'
    """
    if len(options) > len(LETTERS):
        raise ValueError(f"`options` must hold at most {len(LETTERS)}, one per letter; got {len(options)}.")
    return "\n".join(f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False))


def split_options(text: str) -> tuple[str, list[str]]:
    r"""Takes a question and the options behind it apart, the last ones from A on; without two there are none.

    Example:
        >>> [split_options(each) for each in ("Which?\nA. A. Li\nB. gold\nAnswer:", "(A) tin (B) gold", "A. Li")]
        [('Which?', ['A. Li', 'gold']), ('', ['tin', 'gold']), ('A. Li', [])]
    """
    for labels in _LABELS:
        found: list[re.Match[str]] = []
        for label in labels.finditer(text):
            if label[1] == "A":
                found = [label]
            elif found and label[1] == LETTERS[len(found) % len(LETTERS)]:
                found.append(label)
        if len(found) > 1:
            ends = [each.start() for each in found[1:]] + [len(text)]
            options = [text[each.end() : end].strip() for each, end in zip(found, ends, strict=True)]
            return text[: found[0].start()].strip(), [*options[:-1], options[-1].partition("\n")[0]]
    return text, []


def parse_choice(answer: str | None, options: Sequence[str]) -> int | None:
    """Reads which option an answer means; None if it is not exactly one.

    What counts, upper and lower case and runs of whitespace ignored:

    - A letter alone, as `B`, `(B)`, `B.`, `B)` or `B:`. It is always the letter shown beside an option, also where
      some option's text is that letter (nucleotides A, C, G, T); a letter beyond the options is no answer.
    - A letter and the text of its own option, as `B) gold` or `(B) gold`. With another option's text it is no answer.
    - The text of exactly one option, also if that text looks like a letter with something behind it (`B. subtilis`).

    Everything else is no answer: two letters, a letter in a sentence, a part of an option's text.

    Example:
        >>> [parse_choice(a, ["iron", "gold"]) for a in ("B", "(b)", "b. Gold", "gold", "B) iron", "A or B", "C")]
        [1, 1, 1, 1, None, None, None]
    """
    answer = (answer or "").strip()
    if letter := BARE_LETTER.fullmatch(answer):
        return _index(letter[1] or letter[2], options)
    texts = [_normalise(option) for option in options]
    if written := LETTER_AND_TEXT.fullmatch(answer):
        choice = _index(written[1] or written[2], options)
        if choice is not None and texts[choice] == _normalise(written[3]):
            return choice
    wanted = _normalise(answer)
    matches = [i for i, text in enumerate(texts) if text == wanted]
    return matches[0] if len(matches) == 1 else None


def anchored(options: Sequence[str]) -> list[bool]:
    """Marks the options that speak of the others as a whole ("none of the above") and keep their place.

    Example:
        >>> anchored(["iron", "gold", "All of the above"])
        [False, False, True]
    """
    return [is_anchored(option) for option in options]


def can_shuffle(options: Sequence[str]) -> bool:
    """Tells whether the options can be shown in another order without changing what one of them means.

    They cannot if one of them names letters or places ("both A and C", "options 1 and 2", "the first two"), if one
    says "above" or "below" and stands among the options it may speak of, or if fewer than two are free to move.

    Example:
        >>> can_shuffle(["iron", "gold", "None of these"]), can_shuffle(["iron", "gold", "Both A and B"])
        (True, False)
    """
    return _can_shuffle(tuple(options))


def draw_permutation(options: Sequence[str], rng: random.Random, *, exclude_identity: bool = False) -> tuple[int, ...]:
    """Draws an order for K options, uniformly over the orders that keep anchored options in place.

    Option `perm[j]` is shown in place `j`. It is the identity if the options cannot be shuffled; `exclude_identity`
    redraws it.
    """
    identity = tuple(range(len(options)))
    if not can_shuffle(options):
        return identity
    movable = [i for i, fixed in enumerate(anchored(options)) if not fixed]
    while True:
        order = list(identity)
        for place, source in zip(movable, rng.sample(movable, len(movable)), strict=True):
            order[place] = source
        if not exclude_identity or tuple(order) != identity:
            return tuple(order)


def permute(options: Sequence[str], perm: Sequence[int]) -> list[str]:
    """Puts options in the order of a permutation.

    Example:
        >>> permute(["iron", "gold", "zinc"], (2, 0, 1))
        ['zinc', 'iron', 'gold']
    """
    if sorted(perm) != list(range(len(options))):
        raise ValueError(f"`perm` must hold each of 0..{len(options) - 1} once, got {tuple(perm)}.")
    return [options[i] for i in perm]


def to_content(choice: int | None, perm: Sequence[int]) -> int | None:
    """Maps a choice among permuted options back to the row's own options; no answer stays None."""
    return None if choice is None else perm[choice]


def to_shown(content: int, perm: Sequence[int]) -> int:
    """Maps an option of the row to the place where a permutation shows it."""
    return list(perm).index(content)


@lru_cache(maxsize=4096)  # asked again for every shuffle of the same options
def _can_shuffle(options: tuple[str, ...]) -> bool:
    text = "\n".join(options).lower()
    speaks_of_others = not text.isascii() or any(word in text for word in TELLING) or LONE_LETTER.search(text)
    if not speaks_of_others:  # no option has a word by which one does, which is quickly seen
        return len(options) >= 2
    return sum(not fixed for fixed in anchored(options)) >= 2 and not refers_to_letters(options)


def _index(letter: str, options: Sequence[str]) -> int | None:
    index = LETTERS.index(letter.upper())
    return index if index < len(options) else None


def _normalise(text: str) -> str:
    return " ".join(text.split()).casefold()


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

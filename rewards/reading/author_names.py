"""Reads a list of authors into names that can be compared, whatever the style it is written in."""

import re
from typing import NamedTuple

from rewards.scoring.text_accuracy import strip_accents

MAX_CHARACTERS = 5000
LIST_MARK = re.compile(r"^\s*(?:[-*•]|\(?\d{1,3}[.)\]])\s+", re.MULTILINE)
LABEL = re.compile(r"^\s*(?:the\s+)?authors?(?:\s+(?:is|are))?\s*:?\s+", re.IGNORECASE)
BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
ET_AL = re.compile(r",?\s*\b(?:et\s+al\b\.?|and\s+(?:others|colleagues)\b)", re.IGNORECASE)
AND = re.compile(r"\s*,?\s*(?:&|\band\b)\s*", re.IGNORECASE)
INITIALS = re.compile(r"(?:[^\W\d_]\.?[-\s]*){1,3}")  # A. | A. B. | AB | J.-L.
SUFFIX = re.compile(r"(?:jr|sr|ii|iii|iv|ph\.?\s?d|m\.?d|dr|prof|professor|mr|mrs|ms)\.?", re.IGNORECASE)
NO_NAMES = {"unknown", "anonymous", "none", "nobody", "unsure", "sorry", "unavailable", "na"}
PARTICLES = {"van", "von", "der", "den", "de", "del", "della", "di", "da", "dos", "la", "le", "du", "ter", "ten", "al"}


class Author(NamedTuple):
    """A name, reduced to what every citation style keeps."""

    surname: str  # its last word, in lower case and without accents
    initial: str  # of the first given name; empty if only a surname was given


def read_authors(text: str) -> frozenset[Author]:
    """Reads a list of authors; order, accents, case, repeated names and "et al." do not matter.

    Names are parted by `;`, lines, `and`, `&`, or else by commas. A name is `Ada Lovelace`, `A. Lovelace`,
    `Lovelace, Ada` (where `;` or lines part the names), `Lovelace, A.` or `Lovelace A`.

    What is decided where a list could be read in two ways:

    - Of a surname of several words the last one counts ("van der Maaten" is "maaten"), and of given names the first
      initial.
    - Commas part names unless initials stand behind every first one ("Vaswani, A., Shazeer, N."). So "Lovelace, Ada",
      with no other name, is read as two surnames.
    - A name without given names first ("Li Wei") cannot be told from the other order.
    - Brackets, numbering, titles and "Jr." are left out. Pieces of more than five words are no names, and neither are
      single words such as "unknown" and "anonymous".

    Example:
        >>> sorted(read_authors("Vaswani, A., Shazeer, N. and Gómez, A. N."))
        [Author(surname='gomez', initial='a'), Author(surname='shazeer', initial='n'), \
Author(surname='vaswani', initial='a')]
        >>> read_authors("Ashish Vaswani; Noam Shazeer et al.") == read_authors("N. Shazeer & A. Vaswani")
        True
    """
    lines = (" ".join(line.split()) for line in text[:MAX_CHARACTERS].split("\n"))
    text = "\n".join(filter(None, lines)).removesuffix(".")  # one space at most: the patterns try each of them
    text = ET_AL.sub("", BRACKETS.sub(" ", LABEL.sub("", LIST_MARK.sub("", text))))
    if re.search(r"[;\n]", text):
        pieces = [piece for part in re.split(r"[;\n]", text) for piece in AND.split(part)]
    else:
        pieces = _part_by_commas(AND.sub(", ", text))
    return frozenset(author for piece in pieces if (author := _author(piece)) is not None)


def _part_by_commas(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    parts = [part for part in parts if part and not SUFFIX.fullmatch(part)]
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    if pairs and len(parts) % 2 == 0 and all(_are_initials(given) for _, given in pairs):
        return [f"{surname}, {given}" for surname, given in pairs]
    return parts


def _author(piece: str) -> Author | None:
    surname, _, given = piece.partition(",")
    if SUFFIX.fullmatch(given.strip()):
        given = ""
    words = [word for word in surname.split() if not SUFFIX.fullmatch(word)]
    givens = [word for word in given.split() if not SUFFIX.fullmatch(word)]
    if not given and len(words) > 1 and _are_initials(words[-1]) and not words[0].isupper():
        words, givens = words[:-1], words[-1:]  # Lovelace A
    elif not given:
        words, givens = words[-1:], [word for word in words[:-1] if word.casefold() not in PARTICLES]
    if not words or len(words) + len(givens) > 5:
        return None
    last, first = _letters(words[-1]), _letters(givens[0]) if givens else ""
    return Author(last, first[:1]) if len(last) > 1 and (givens or last not in NO_NAMES) else None


def _are_initials(text: str) -> bool:
    return text.isupper() and INITIALS.fullmatch(text) is not None


def _letters(word: str) -> str:
    return "".join(character for character in strip_accents(word.casefold()) if character.isalpha())

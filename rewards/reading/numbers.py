"""Reads a number the way people write one: signs, thousands, decimals, powers of ten, fractions, percent, a unit."""

import re
from fractions import Fraction
from typing import NamedTuple

MAX_CHARACTERS = 100
MAX_EXPONENT = 400  # beyond what a double can hold; exact arithmetic on 10^10^10 would never end
MINUS = str.maketrans("−–‐‑", "----")  # noqa: RUF001
# Typographic variants of one sign, and signs that show nothing.
SAME_SIGN = str.maketrans("‘’‛`´“”„«»‐‑‒–—−", "'''''" + '"' * 5 + "-" * 6, "\u200b\u200c\u200d\ufeff\u00ad")  # noqa: RUF001
CURRENCIES = "$€£¥₹"
VULGAR = {
    "¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5", "⅖": "2/5", "⅗": "3/5", "⅘": "4/5",
    "⅙": "1/6", "⅚": "5/6", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8", "⅞": "7/8",
}  # fmt: skip

SPACE = r"[ \u00a0\u2009\u202f]"
INTEGER = rf"(?:[1-9]\d{{0,2}}(?:(?:,\d{{3}})+|(?:{SPACE}\d{{3}})+)|\d+)"
DECIMAL = rf"(?:{INTEGER}(?:\.\d*)?|\.\d+)"
TIMES_TEN = r"\s*(?:[x×*·]|\\times|\\cdot)\s*10\s*(?:\^|\*\*)\s*"  # noqa: RUF001
POWER = rf"(?:[eE](?P<e>[+-]?\d{{1,4}})|{TIMES_TEN}(?:\{{(?P<ten>[+-]?\d{{1,4}})\}}|(?P<bare_ten>[+-]?\d{{1,4}})))"
FRACTION = r"(?:(?P<whole>\d+)\s+)?(?P<top>\d+)\s*/\s*(?P<bottom>\d+)"
LATEX_FRACTION = r"\\[dt]?frac\s*\{\s*(?P<ltop>\d+)\s*\}\s*\{\s*(?P<lbottom>\d+)\s*\}"
UNIT = r"(?P<unit>\\?%|[^\W\d_²³⁴][^\d,;=<>~≈±\n]*(?:\^?[23])?|°[^\W\d_]?)"
NUMBER = re.compile(
    rf"(?P<sign>[+-]\s*)?(?P<currency>[{CURRENCIES}]\s*)?(?P<inner_sign>-)?"
    rf"(?:{FRACTION}|{LATEX_FRACTION}|(?P<decimal>{DECIMAL}){POWER}?)"
    rf"(?:\s*{UNIT}|\s*(?P<currency_behind>[{CURRENCIES}]))?"
)
WRAPPED = re.compile(r"\\\((.*)\\\)|\$\s*([^$]*[^$\s])\s*\$|\*\*(.*)\*\*", re.DOTALL)
# Words that join a second statement; behind a number they are not a unit.
NOT_IN_UNITS = re.compile(
    r"\b(?:or|and|to|not|but|no|nor|maybe|perhaps|if|is|are|than|vs|through|until|plus|minus|times|zero|one|two|three|four"
    r"|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|twenty"
    r"|(?:thir|for|fif|six|seven|eigh|nine)ty|hundred|thousand|million|billion|trillion|dozen|half|third|quarter)\b",
    re.IGNORECASE,
)
POWERS = str.maketrans({"²": "2", "³": "3", "^": None})
PERCENT_WORDS = ("%", "percent", "per cent", "pct")


class ReadNumber(NamedTuple):
    """A number as written."""

    value: Fraction  # without regard to the unit; 50 for "50%"
    unit: str  # as `write_unit` writes it; "" for none


def read_number(text: str) -> ReadNumber | None:
    r"""Reads a text that is one number, perhaps with a unit; None for everything else.

    What counts: `1234`, `1,234`, `1 234`, `-3.5`, `.5`, `2e3`, `2 x 10^3`, `3/4`, `1 1/2`, `1½`, `\frac{3}{4}`, a
    currency before or a unit behind, `$...$` or `**...**` around the whole and a full stop at its end. A comma
    separates thousands, never decimals: `1,5` is no number and `1,234` is one thousand two hundred and thirty-four.

    What does not: two numbers in any form (`3 or 4`, `3-4`, `3, 4`, `3 (4)`), an approximation (`about 3`, `~3`,
    `3±1`), an equation, a number in words or with one behind it (`3 million`), a fraction over 0, more than 100
    characters, an exponent beyond 400.

    Example:
        >>> read_number("1,234.5 km"), read_number("-1/2")
        (ReadNumber(value=Fraction(2469, 2), unit='km'), ReadNumber(value=Fraction(-1, 2), unit=''))
        >>> [read_number(text) for text in ("3 or 4", "3-4", "1,5", "about 3", "")]
        [None, None, None, None, None]
    """
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        return None
    match = NUMBER.fullmatch(_plain(text))
    if match is None or (match["sign"] and match["inner_sign"]) or NOT_IN_UNITS.search(match["unit"] or ""):
        return None
    value, unit = _value(match), _unit(match)
    if value is None or unit is None:
        return None
    negative = (match["sign"] or "").startswith("-") or match["inner_sign"]
    return ReadNumber(-value if negative else value, unit)


def _plain(text: str) -> str:
    text = text.translate(MINUS)
    if wrapped := WRAPPED.fullmatch(text):
        text = next(group for group in wrapped.groups() if group is not None).strip()
    text = text.removesuffix(".").strip()
    for sign, fraction in VULGAR.items():
        text = re.sub(rf"(?<=\d)\s*{sign}", f" {fraction}", text).replace(sign, fraction)
    return text


def _value(match: re.Match[str]) -> Fraction | None:
    top, bottom = match["top"] or match["ltop"], match["bottom"] or match["lbottom"]
    if top is not None:
        return int(match["whole"] or 0) + Fraction(int(top), int(bottom)) if int(bottom) else None
    exponent = int(match["e"] or match["ten"] or match["bare_ten"] or 0)
    if abs(exponent) > MAX_EXPONENT:
        return None
    return Fraction(re.sub(rf"{SPACE}|,", "", match["decimal"])) * Fraction(10) ** exponent


def _unit(match: re.Match[str]) -> str | None:
    """Writes the unit in one form; None if there are two."""
    currency = (match["currency"] or match["currency_behind"] or "").strip()
    unit = write_unit(match["unit"] or "")
    return None if currency and unit else currency or unit


def write_unit(unit: str) -> str:
    """Writes a unit in the form in which two are compared; up to three letters keep their case, as in mW and MW.

    Example:
        >>> [write_unit(unit) for unit in ("m²", "Apples", "mW", "per cent")]
        ['m2', 'apples', 'mW', '%']
    """
    unit = " ".join(unit.translate(POWERS).split()).rstrip(".").removeprefix("\\")
    if unit.casefold() in PERCENT_WORDS:
        return "%"
    return unit.casefold() if len(unit) > 3 else unit

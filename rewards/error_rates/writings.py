r"""Writings of answers: the same right answer otherwise, and wrong ones that look near; one entry each.

A function returns None where it does not apply, and where somebody could doubt that what it writes is right, or wrong.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from rewards.error_rates.golds import SAME, Gold, letter
from rewards.reading.options import LETTERS

Write = Callable[[Gold], str | None]
OF_FORM = r"\b(?:decimals?|fractions?|percent\w*|round\w*|simplest|digits?|exact\w*|integers?|places?|format\w*)\b"
OF_CASE = r"\b(?:case|(?:upper|lower)-?case|capitals|capital letters?|capitali[sz]\w*)\b"
YEARS = range(1000, 2101)  # whole numbers without a unit that may be one


class Writing(NamedTuple):
    """A way to write an answer, right or wrong."""

    name: str
    words: str  # what it writes
    is_right: bool
    func: Write
    unless: str = ""  # a pattern of prompts that ask for a form, so that another one may be wrong

    def write(self, gold: Gold) -> str | None:
        """Writes it; None where it does not apply, or is the right answer as it stands."""
        if not gold.text or (self.unless and re.search(self.unless, gold.prompt, re.IGNORECASE)):
            return None
        text = self.func(gold)
        return None if text == gold.text and self.func is not plain else text


WRITINGS: list[Writing] = []


def _entry(is_right: bool, *, unless: str = "") -> Callable[[Write], Write]:
    """Registers a function, whose docstring says what it writes."""

    def register(func: Write) -> Write:
        words = (func.__doc__ or "").rstrip(".")
        WRITINGS.append(Writing(func.__name__, words, is_right, func, unless))
        return func

    return register


right, wrong = partial(_entry, True), partial(_entry, False)


@right()
def plain(gold: Gold) -> str | None:
    """As the row has it."""
    return gold.text


@right(unless=OF_FORM)
def decimal(gold: Gold) -> str | None:
    """A fraction as a decimal."""
    number = gold.number
    found = number and ("/" in number.body or "frac" in number.body) and _decimal(number.value)
    return number.as_written(found) if number and found else None


@right(unless=OF_FORM)
def fraction(gold: Gold) -> str | None:
    """A decimal as a fraction."""
    number = gold.number
    is_one = number and number.is_plain and "." in number.body and number.value.denominator > 1
    return number.as_written(str(number.value)) if number and is_one else None


@right(unless=OF_FORM)
def latex_fraction(gold: Gold) -> str | None:
    """A fraction in LaTeX."""
    number = gold.number
    if not number or "/" not in number.body or " " in number.body.strip():
        return None
    top, _, bottom = number.body.partition("/")
    return number.as_written(rf"\frac{{{top.strip()}}}{{{bottom.strip()}}}")


@right(unless=OF_FORM)
def percent(gold: Gold) -> str | None:
    """A share as a percentage."""
    number = gold.number
    share = _decimal(100 * number.value) if number and number.is_plain and 0 < number.value < 1 else None
    return f"{number.as_written(share)}%" if number and share else None


@right(unless=OF_FORM)
def trailing_zeros(gold: Gold) -> str | None:
    """A number with zeros behind it."""
    number = gold.number
    if not number or _may_be_year(gold) or not re.fullmatch(r"[\d,]+(?:\.\d*[1-9])?", number.body):
        return None
    return number.as_written(f"{number.body}0" if "." in number.body else f"{number.body}.00")


@right(unless=OF_FORM)
def thousands(gold: Gold) -> str | None:
    """Thousands with or without commas."""
    number = gold.number
    if not number or _may_be_year(gold):
        return None
    head, dot, rest = number.body.partition(".")
    if "," in head:
        return number.as_written(f"{head.replace(',', '')}{dot}{rest}")
    return number.as_written(f"{int(head):,}{dot}{rest}") if head.isdecimal() and int(head) > 999 else None


@right()
def unicode_minus(gold: Gold) -> str | None:
    """A typographic minus."""
    number = gold.number
    return number.as_written(number.body, "\u2212") if number and number.sign == "-" else None


@right()
def spaces(gold: Gold) -> str | None:
    """Other spaces around a unit or in a fraction."""
    number = gold.number
    if number and number.behind:
        return f"{number.as_written(number.body).removesuffix(number.behind)}{_respaced(number.behind)}"
    if number and re.fullmatch(r"\d+\s*/\s*\d+", number.body):
        apart = " / " if " " not in number.body else "/"
        return number.as_written(re.sub(r"\s*/\s*", apart, number.body))
    return f"  {gold.text} " if number or gold.is_words else None


@right()
def dollars(gold: Gold) -> str | None:
    """In dollar signs of LaTeX."""
    number = gold.number
    return f"${gold.text}$" if number and not number.before and number.is_plain else None


@right()
def boxed(gold: Gold) -> str | None:
    r"""In \boxed{}."""
    number = gold.number
    return rf"\boxed{{{gold.text}}}" if number and not number.before and number.is_plain else None


@right()
def bold(gold: Gold) -> str | None:
    """In bold of Markdown."""
    return f"**{gold.text}**" if gold.number or gold.is_words else None


@right()
def full_stop(gold: Gold) -> str | None:
    """With a full stop."""
    return f"{gold.text}." if gold.number or gold.is_words else None


@right(unless=OF_CASE)
def lower_case(gold: Gold) -> str | None:
    """In lower case."""
    return gold.text.lower() if gold.is_words else None


@right(unless=OF_CASE)
def capitals(gold: Gold) -> str | None:
    """In capitals."""
    return gold.text.upper() if gold.is_words else None


@right()
def article(gold: Gold) -> str | None:
    """Without its article."""
    match = re.fullmatch(r"(?:a|an|the|A|An|The) ([a-z].*)", gold.text)
    return match[1] if match and gold.is_words else None


@right()
def json_spaces(gold: Gold) -> str | None:
    """JSON with other spaces."""
    if gold.value is None:
        return None
    dense = json.dumps(gold.value, separators=(",", ":"), ensure_ascii=False)
    return dense if dense != gold.text else json.dumps(gold.value, ensure_ascii=False)


@right()
def json_order(gold: Gold) -> str | None:
    """JSON with its keys in another order."""
    if not isinstance(gold.value, dict) or len(gold.value) < 2:
        return None
    return json.dumps(dict(reversed(gold.value.items())), ensure_ascii=False)


@right()
def list_spaces(gold: Gold) -> str | None:
    """A list with other spaces."""
    if gold.items is None:
        return None
    start, items, end = gold.items
    return f"{start}{(',' if ', ' in gold.text else ', ').join(items)}{end}"


@right()
def option_letter(gold: Gold) -> str | None:
    """The letter of the option."""
    return letter(gold) if _is_clear(gold) else None


@right()
def option_brackets(gold: Gold) -> str | None:
    """The letter in brackets."""
    return f"({letter(gold)})" if _is_clear(gold) else None


@right()
def option_both(gold: Gold) -> str | None:
    """The letter with the text of its option."""
    return f"{letter(gold)}. {gold.options[gold.place]}" if _is_clear(gold) else None


@right()
def option_text(gold: Gold) -> str | None:
    """The text of the option."""
    return gold.options[gold.place] if _is_clear(gold) else None


@right()
def synonym(gold: Gold) -> str | None:
    """A synonym that the row names."""
    return next((each for each in gold.synonyms if each.strip() != gold.text), None)


@right()
def last_synonym(gold: Gold) -> str | None:
    """The last synonym that the row names."""
    return gold.synonyms[-1] if len(gold.synonyms) > 1 else None


@wrong()
def another(gold: Gold) -> str | None:
    """Another row's right answer, or another option."""
    if not gold.options:
        return gold.other
    place = (gold.place + 1) % len(gold.options)
    return _as_own(gold, place) if _is_clear(gold) else None


@wrong()
def another_both(gold: Gold) -> str | None:
    """Another option with its letter."""
    place = (gold.place + 1) % len(gold.options) if gold.options else 0
    return f"{LETTERS[place]}. {gold.options[place]}" if gold.options and _is_clear(gold) else None


@wrong()
def one_more(gold: Gold) -> str | None:
    """One more."""
    return _shifted(gold, 1)


@wrong()
def one_less(gold: Gold) -> str | None:
    """One less."""
    return _shifted(gold, -1)


@wrong()
def sign_turned(gold: Gold) -> str | None:
    """The sign turned."""
    number = gold.number
    return number.as_written(number.body, "" if number.sign == "-" else "-") if number and number.value else None


@wrong()
def digits_swapped(gold: Gold) -> str | None:
    """Two digits swapped."""
    number, whole = gold.number, gold.number.whole if gold.number else None
    if number is None or whole is None or whole < 10:
        return None
    body = number.body
    at = next((i for i in range(len(body) - 1) if body[i] != body[i + 1] and (i or body[1] != "0")), None)
    return None if at is None else number.as_written(f"{body[:at]}{body[at + 1]}{body[at]}{body[at + 2 :]}")


@wrong()
def ten_times(gold: Gold) -> str | None:
    """Ten times as much."""
    number = gold.number
    body = _decimal(10 * number.value) if number and number.value else None
    return number.as_written(body) if number and body else None


@wrong()
def turned_over(gold: Gold) -> str | None:
    """The fraction turned over."""
    number = gold.number
    turned = re.fullmatch(r"(\d+)\s*/\s*(\d+)", number.body) if number else None
    is_other = turned and int(turned[1]) and int(turned[1]) != int(turned[2])
    return number.as_written(f"{turned[2]}/{turned[1]}") if number and turned and is_other else None


@wrong()
def other_unit(gold: Gold) -> str | None:
    """The number with another unit."""
    number = gold.number
    is_named = number and number.behind and number.unit[:1].isalpha() and not number.unit.casefold().startswith("c")
    return f"{number.as_written(number.body).removesuffix(number.behind)} candela" if number and is_named else None


@wrong()
def denied(gold: Gold) -> str | None:
    """The right answer denied."""
    is_yes_or_no = any(gold.text.casefold() in words for words in SAME)
    return f"not {gold.text}" if (gold.number or gold.is_words or gold.options) and not is_yes_or_no else None


@wrong()
def yes_or_no(gold: Gold) -> str | None:
    """Yes for no, or no for yes."""
    pairs = (("yes", "no"), ("no", "yes"), ("true", "false"), ("false", "true"))
    found = dict(pairs).get(gold.text.casefold())
    return found.capitalize() if found and gold.text[0].isupper() else found


@wrong()
def one_or_other(gold: Gold) -> str | None:
    """The right answer or another one."""
    return _beside(gold, " or ")


@wrong()
def other_or_one(gold: Gold) -> str | None:
    """Another answer or the right one."""
    return _beside(gold, " or ", is_last=True)


@wrong()
def both_listed(gold: Gold) -> str | None:
    """Both answers in a list."""
    return _beside(gold, ", ")


@wrong()
def item_missing(gold: Gold) -> str | None:
    """A list without its last item."""
    start, items, end = gold.items or ("", (), "")
    return f"{start}{', '.join(items[:-1])}{end}" if len(items) > 1 and len(set(items)) == len(items) else None


@wrong()
def json_changed(gold: Gold) -> str | None:
    """JSON with another value."""
    if not isinstance(gold.value, dict):
        return None
    key = next(iter(gold.value))
    return json.dumps({**gold.value, key: _changed(gold.value[key])}, ensure_ascii=False)


@wrong()
def json_missing(gold: Gold) -> str | None:
    """JSON without its last key."""
    if not isinstance(gold.value, dict) or len(gold.value) < 2:
        return None
    return json.dumps(dict(list(gold.value.items())[:-1]), ensure_ascii=False)


@wrong()
def nothing(gold: Gold) -> str | None:
    """Nothing."""
    return ""


@wrong()
def refusal(gold: Gold) -> str | None:
    """A refusal."""
    return "I do not know"


def _decimal(value: Fraction) -> str | None:
    """Writes a number with at most six decimals; None if it has more."""
    scaled = value * 10**6
    return None if scaled.denominator > 1 else (f"{int(scaled) / 10**6:.6f}".rstrip("0").rstrip(".") or "0")


def _may_be_year(gold: Gold) -> bool:
    return bool(gold.number and gold.number.is_plain and gold.number.whole in YEARS)


def _respaced(behind: str) -> str:
    return behind.strip() if behind[:1].isspace() else f" {behind}"


def _shifted(gold: Gold, by: int) -> str | None:
    """Adds to the whole part of a number, or to the top of a fraction."""
    number = gold.number
    match = re.fullmatch(r"(\d+)(\s*/.*|\.\d+)?", number.body) if number else None
    if number is None or match is None or int(match[1]) + by < 0:
        return None
    return number.as_written(f"{int(match[1]) + by}{match[2] or ''}")


def _is_clear(gold: Gold) -> bool:
    """Whether options have texts of their own, none of which is a letter or says that several are right."""
    texts = [each.strip().casefold() for each in gold.options]
    said = any(re.search(r"\b(?:above|both|neither|none|all|[a-e] and [a-e])\b", each) for each in texts)
    is_one = bool(texts) and len({*texts}) == len(texts) and all(len(each) > 1 for each in texts)
    own = texts[gold.place] if texts else ""
    return is_one and not said and not any(own in each for i, each in enumerate(texts) if i != gold.place)


def _as_own(gold: Gold, place: int) -> str:
    return gold.options[place] if gold.text == gold.options[gold.place] else LETTERS[place]


def _beside(gold: Gold, joint: str, *, is_last: bool = False) -> str | None:
    """Writes the right answer and a wrong one beside each other; not of long ones, and no two items of a list."""
    other = another(gold)
    is_short = bool(gold.number or gold.is_words or gold.options) and other is not None and len(other) < 80
    if not is_short or other is None or (joint == ", " and gold.items):
        return None
    return joint.join((other, gold.text) if is_last else (gold.text, other))


def _changed(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return not value
    return value + 1 if isinstance(value, int | float) else "something else"

r"""Writings of answers: the same right answer otherwise, and wrong ones that look near; one entry each.

A function returns None where it does not apply, and where somebody could doubt that what it writes is right, or wrong.
"""

import json
import re
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

from rewards.error_rates.golds import SAME, Gold, Number
from rewards.reading.options import LETTERS

OF_FORM = r"\b(?:decimals?|fractions?|percent\w*|round\w*|simplest|digits?|exact\w*|integers?|places?|format\w*)\b"
OF_CASE = r"\b(?:case|(?:upper|lower)-?case|capitals|capital letters?|capitali[sz]\w*)\b"
YEARS = range(1000, 2101)  # whole numbers without a unit that may be one


class Writing(NamedTuple):
    """A way to write an answer, right or wrong."""

    is_right: bool
    name: str
    words: str  # what it writes
    func: Callable[[Gold], str | None]
    unless: str = ""  # a pattern of prompts that ask for a form, so that another one may be wrong

    def write(self, gold: Gold) -> str | None:
        """Writes it; None where it does not apply, or is the right answer as it stands."""
        if not gold.text or (self.unless and re.search(self.unless, gold.prompt, re.IGNORECASE)):
            return None
        text = self.func(gold)
        return None if text == gold.text and self.name != "plain" else text


def _number(func: Callable[[Number], str | None]) -> Callable[[Gold], str | None]:
    return lambda gold: func(gold.number) if gold.number else None


def _fraction_as_decimal(number: Number) -> str | None:
    return number.with_body(_decimal(number.value)) if "/" in number.body or "frac" in number.body else None


def _decimal_as_fraction(number: Number) -> str | None:
    is_one = number.is_plain and "." in number.body and number.value.denominator > 1
    return number.with_body(str(number.value)) if is_one else None


def _latex_fraction(number: Number) -> str | None:
    parts = re.fullmatch(r"(\d+)/(\d+)", number.body)
    return number.with_body(rf"\frac{{{parts[1]}}}{{{parts[2]}}}") if parts else None


def _percent(number: Number) -> str | None:
    share = number.with_body(_decimal(100 * number.value)) if number.is_plain and 0 < number.value < 1 else None
    return f"{share}%" if share else None


def _zeros(number: Number) -> str | None:
    if (number.is_plain and number.whole in YEARS) or not re.fullmatch(r"[\d,]+(?:\.\d*[1-9])?", number.body):
        return None
    return number.with_body(f"{number.body}0" if "." in number.body else f"{number.body}.00")


def _thousands(number: Number) -> str | None:
    head, dot, rest = number.body.partition(".")
    if "," in head:
        return number.with_body(f"{head.replace(',', '')}{dot}{rest}")
    is_large = head.isdecimal() and int(head) > 999 and not (number.is_plain and number.whole in YEARS)
    return number.with_body(f"{int(head):,}{dot}{rest}") if is_large else None


def _spaces(gold: Gold) -> str | None:
    number = gold.number
    if number and number.behind:
        behind = number.behind.strip() if number.behind[:1].isspace() else f" {number.behind}"
        return number._replace(behind=behind).with_body(number.body)
    if number and re.fullmatch(r"\d+\s*/\s*\d+", number.body):
        return number.with_body(re.sub(r"\s*/\s*", "/" if " " in number.body else " / ", number.body))
    return f"  {gold.text} " if number or gold.is_words else None


def _in_latex(pattern: str) -> Callable[[Gold], str | None]:
    return lambda gold: (
        pattern % gold.text if gold.number and gold.number.is_plain and not gold.number.before else None
    )


def _prose(pattern: str) -> Callable[[Gold], str | None]:
    return lambda gold: pattern % gold.text if gold.number or gold.is_words else None


def _article(gold: Gold) -> str | None:
    match = re.fullmatch(r"(?:[Aa]|[Aa]n|[Tt]he) ([a-z].*)", gold.text)
    return match[1] if match and gold.is_words else None


def _json(gold: Gold, value: Any, **how: Any) -> str | None:
    return json.dumps(value, ensure_ascii=False, **how) if gold.value is not None else None


def _json_spaces(gold: Gold) -> str | None:
    dense = _json(gold, gold.value, separators=(",", ":"))
    return dense if dense != gold.text else _json(gold, gold.value)


def _keys(change: Callable[[dict[str, Any]], dict[str, Any]], least: int = 2) -> Callable[[Gold], str | None]:
    return lambda gold: (
        _json(gold, change(gold.value)) if isinstance(gold.value, dict) and len(gold.value) >= least else None
    )


def _other_value(value: dict[str, Any]) -> dict[str, Any]:
    key, first = next(iter(value.items()))
    is_number = isinstance(first, int | float) and not isinstance(first, bool)
    return {**value, key: first + 1 if is_number else not first if isinstance(first, bool) else "something else"}


def _list_spaces(gold: Gold) -> str | None:
    start, items, end = gold.items or ("", (), "")
    return f"{start}{(',' if ', ' in gold.text else ', ').join(items)}{end}" if items else None


def _item_missing(gold: Gold) -> str | None:
    start, items, end = gold.items or ("", (), "")
    return f"{start}{', '.join(items[:-1])}{end}" if items and len(set(items)) == len(items) else None


def _option(pattern: str, shift: int = 0) -> Callable[[Gold], str | None]:
    """Writes the right option, or one further on, where options have texts of their own and none means several."""

    def write(gold: Gold) -> str | None:
        texts = [each.strip().casefold() for each in gold.options]
        said = any(re.search(r"\b(?:above|both|neither|none|all|[a-e] and [a-e])\b", each) for each in texts)
        own = texts[gold.place] if texts else ""
        is_within = any(own in each for i, each in enumerate(texts) if i != gold.place)
        if said or is_within or len({*texts}) < max(2, len(texts)) or any(len(each) < 2 for each in texts):
            return None
        place = (gold.place + shift) % len(texts)
        as_own = gold.options[place] if gold.text == gold.options[gold.place] else LETTERS[place]
        return pattern.format(letter=LETTERS[place], text=gold.options[place], own=as_own)

    return write


def _another(gold: Gold) -> str | None:
    return _option("{own}", 1)(gold) if gold.options else gold.other


def _shifted(by: int) -> Callable[[Gold], str | None]:
    """Adds to the whole part of a number, or to the top of a fraction."""

    def write(number: Number) -> str | None:
        match = re.fullmatch(r"(\d+)(\s*/.*|\.\d+)?", number.body)
        is_one = match and int(match[1]) + by >= 0
        return number.with_body(f"{int(match[1]) + by}{match[2] or ''}") if match and is_one else None

    return _number(write)


def _digits_swapped(number: Number) -> str | None:
    body = number.body if number.whole is not None else ""
    at = next((i for i in range(len(body) - 1) if body[i] != body[i + 1] and (i or body[1] != "0")), None)
    return None if at is None else number.with_body(f"{body[:at]}{body[at + 1]}{body[at]}{body[at + 2 :]}")


def _turned_over(number: Number) -> str | None:
    turned = re.fullmatch(r"(\d+)\s*/\s*(\d+)", number.body)
    is_other = turned and int(turned[1]) and int(turned[1]) != int(turned[2])
    return number.with_body(f"{turned[2]}/{turned[1]}") if turned and is_other else None


def _other_unit(number: Number) -> str | None:
    is_named = number.behind and number.unit[:1].isalpha() and not number.unit.casefold().startswith("c")
    return number._replace(behind=" candela").with_body(number.body) if is_named else None


def _denied(gold: Gold) -> str | None:
    is_yes_or_no = any(gold.text.casefold() in words for words in SAME)
    return f"not {gold.text}" if (gold.number or gold.is_words or gold.options) and not is_yes_or_no else None


def _yes_or_no(gold: Gold) -> str | None:
    found = {"yes": "no", "no": "yes", "true": "false", "false": "true"}.get(gold.text.casefold())
    return found.capitalize() if found and gold.text[0].isupper() else found


def _beside(pattern: str) -> Callable[[Gold], str | None]:
    def write(gold: Gold) -> str | None:
        other = _another(gold) if gold.number or gold.is_words or gold.options else None
        return pattern.format(own=gold.text, other=other) if other and len(other) < 80 else None

    return write


def _decimal(value: Fraction) -> str | None:
    """Writes a number with at most six decimals; None if it has more."""
    scaled = value * 10**6
    return None if scaled.denominator > 1 else (f"{int(scaled) / 10**6:.6f}".rstrip("0").rstrip(".") or "0")


_right, _wrong = partial(Writing, True), partial(Writing, False)
WRITINGS = (
    _right("plain", "as the row has it", lambda gold: gold.text),
    _right("decimal", "a fraction as a decimal", _number(_fraction_as_decimal), OF_FORM),
    _right("fraction", "a decimal as a fraction", _number(_decimal_as_fraction), OF_FORM),
    _right("latex_fraction", "a fraction in LaTeX", _number(_latex_fraction), OF_FORM),
    _right("percent", "a share as a percentage", _number(_percent), OF_FORM),
    _right("trailing_zeros", "a number with zeros behind it", _number(_zeros), OF_FORM),
    _right("thousands", "thousands with or without commas", _number(_thousands), OF_FORM),
    _right("unicode_minus", "a typographic minus",
           _number(lambda n: n.with_sign("\u2212") if n.sign == "-" else None)),
    _right("spaces", "other spaces", _spaces),
    _right("dollars", "in dollar signs of LaTeX", _in_latex("$%s$")),
    _right("boxed", "in \\boxed{}", _in_latex("\\boxed{%s}")),
    _right("bold", "in bold of Markdown", _prose("**%s**")),
    _right("full_stop", "with a full stop", _prose("%s.")),
    _right("lower_case", "in lower case", lambda gold: gold.text.lower() if gold.is_words else None, OF_CASE),
    _right("capitals", "in capitals", lambda gold: gold.text.upper() if gold.is_words else None, OF_CASE),
    _right("article", "without its article", _article),
    _right("json_spaces", "JSON with other spaces", _json_spaces),
    _right("json_order", "JSON with keys in another order", _keys(lambda value: dict(reversed(value.items())))),
    _right("list_spaces", "a list with other spaces", _list_spaces),
    _right("option_letter", "the letter of the option", _option("{letter}")),
    _right("option_brackets", "the letter in brackets", _option("({letter})")),
    _right("option_both", "the letter and the text of its option", _option("{letter}. {text}")),
    _right("option_text", "the text of the option", _option("{text}")),
    _right("synonym", "a synonym that the row names", lambda gold: next(iter(gold.synonyms), None)),
    _wrong("another", "another row's right answer, or another option", _another),
    _wrong("another_both", "another option with its letter", _option("{letter}. {text}", 1)),
    _wrong("one_more", "one more", _shifted(1)),
    _wrong("one_less", "one less", _shifted(-1)),
    _wrong("sign_turned", "the sign turned",
           _number(lambda n: n.with_sign("" if n.sign == "-" else "-") if n.value else None)),
    _wrong("digits_swapped", "two digits swapped", _number(_digits_swapped)),
    _wrong("ten_times", "ten times as much",
           _number(lambda n: n.with_body(_decimal(10 * n.value)) if n.value else None)),
    _wrong("turned_over", "a fraction turned over", _number(_turned_over)),
    _wrong("other_unit", "the number with another unit", _number(_other_unit)),
    _wrong("denied", "the right answer denied", _denied),
    _wrong("yes_or_no", "yes for no, or no for yes", _yes_or_no),
    _wrong("one_or_other", "the right answer or another one", _beside("{own} or {other}")),
    _wrong("other_or_one", "another answer or the right one", _beside("{other} or {own}")),
    _wrong("item_missing", "a list without its last item", _item_missing),
    _wrong("json_changed", "JSON with another value", _keys(_other_value, 1)),
    _wrong("json_missing", "JSON without its last key", _keys(lambda value: dict(list(value.items())[:-1]))),
    _wrong("nothing", "nothing", lambda gold: ""),
    _wrong("refusal", "a refusal", lambda gold: "I do not know"),
)  # fmt: skip

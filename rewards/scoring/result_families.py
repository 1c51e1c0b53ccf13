"""Changes of what a tool returned: another value, an error in its place, other words, an addition that means nothing.

Each takes a `Version` whose `question` is the result as the model was shown it, and whose `answer` is the right answer
of the row. Its columns are those of the row, and `tool`, `arguments` and `turn` of the call, `elsewhere`, the texts of
the prompt and of the other results, these alone as `results`, and `others`, right answers of other rows. A version
with the answer it had says that nothing may change; one with another says what is right now; one with `WITHHELD` that
nobody can know any more.
"""

import json
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from enum import Enum
from fractions import Fraction
from functools import partial
from itertools import combinations
from math import ceil, floor
from typing import Any

from rewards.reading.abstention import OPPOSITES, abstains
from rewards.reading.fields import Field, Path, fields_of, rewrite
from rewards.reading.numbers import MAX_CHARACTERS
from rewards.reading.values import fold, known_numbers, mentions, number_of, spelled_in
from rewards.scoring.perturbations import Family, Version, distractor


class Withheld(Enum):
    """Stands for the right answer where nothing that is left says it."""

    WITHHELD = "withheld"

    def __str__(self) -> str:
        return self.value


WITHHELD = Withheld.WITHHELD
ERRORS = ("the service is not available", "the request timed out", "the connection was refused", "internal error")
PARAPHRASES = ("result: {}", "Result: {}", "The tool returned: {}", "{}\n", "({})")
_DIGIT = re.compile("[0-9]")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_ESCAPED = frozenset("\"'\\|<>&`\n\t,;")  # may mean something where no structure says what
_TRIES = 20  # of a value that stands nowhere yet
_A_YEAR = 365
_FEW = 8  # values of a row of which sums, differences and products are tried


def states(text: str, value: Any) -> bool:
    """Tells whether a text states a value: the number, however it is written, or the words, one beside the other.

    Example:
        >>> states("{'price': '1,200.00'}", 1200), states("in 2012-12-01", "12"), states("In New  York.", "new york")
        (True, False, True)
    """
    return any(_spans(field, [value]) for field in fields_of(text))


def may_state(text: str, value: Any) -> bool:
    """Tells whether a text may state a value in any form, also within a word, a date or a code."""
    return any(_spans(field, [value]) or mentions(field.text, value) for field in fields_of(text))


def change_value(
    text: str,
    accepted: Any,
    rng: random.Random,
    elsewhere: Sequence[str] = (),
    others: Sequence[Any] = (),
    results: Sequence[str] = (),
) -> tuple[str, Any] | str:
    """Puts another value of the same type wherever a result states the right answer; or says why it cannot.

    Returns the changed result and what is accepted now, in the form of `accepted` (a value, or a list of which each is
    right). Numbers and dates keep their form and their rank beside others, ids their length and zeros; words become
    one of `others`. What may be read `elsewhere`, in texts that stay, or in a form that cannot be changed
    alike, is left alone, and so is what other `results` add up to: an honest answer could go on from either.

    Example:
        >>> change_value('{"prices": [4, 17, 500]}', "17", random.Random(0))
        ('{"prices": [4, 60, 500]}', '60')
        >>> change_value('{"items": ["a", "b"], "count": 2}', 2, random.Random(0))
        'it follows from other values of the result'
    """
    golds = as_list(accepted)
    stated = [gold for gold in golds if states(text, gold)]
    if not stated:
        return "the result does not state it"
    if any(may_state(each, gold) for gold in golds for each in elsewhere):
        return "the prompt or another result states it, too"
    numbers = [number for gold in golds if (number := number_of(gold)) is not None]
    if numbers and spelled_in(text) - {fold(str(gold)) for gold in golds}:
        return "the result has numbers in words"
    if any(_follows(text, number, results) for number in numbers):
        return "it follows from other values of the result"
    if fold(str(stated[0])) in OPPOSITES and sum(len(_spans(field, stated)) for field in fields_of(text)) > 1:
        return "more than one field may state it"
    for _ in range(_TRIES):
        new = _other(stated[0], text, others, rng)
        if new is None or any(may_state(each, new) for each in (text, *elsewhere)):
            continue
        changed = rewrite(text, partial(_replaced, values=stated, new=str(new)))
        if states(changed, new) and not any(may_state(changed, gold) for gold in golds):
            return changed, [new] if isinstance(accepted, list | tuple) else new
    return "no other value fits, or the result states it in another form, too"


def other_value(version: Version, rng: random.Random) -> Version | None:
    """Puts another value where the result states the answer, as `change_value` does; None where it cannot."""
    beside = [version.get(name) or () for name in ("elsewhere", "others", "results")]
    found = change_value(version.question, version.answer, rng, *beside)
    return None if isinstance(found, str) else version._replace(question=found[0], answer=found[1])


def error(version: Version, rng: random.Random) -> Version | None:
    """Shows an error in place of the result, as of a tool that raises; None unless it alone states the answer."""
    golds, elsewhere = as_list(version.answer), version.get("elsewhere") or ()
    shown = str({"error": rng.choice(ERRORS)})
    is_stated = any(states(version.question, gold) for gold in golds)
    if not is_stated or any(may_state(each, gold) for gold in golds for each in (shown, *elsewhere)):
        return None
    if any(abstains(str(gold)) for gold in golds):  # nobody could tell it from an answer that says nothing
        return None
    return version._replace(question=shown, answer=WITHHELD)


def paraphrase(version: Version, rng: random.Random) -> Version:
    """Says the same in other words: JSON with its keys in another order, and else a few words around it."""
    text = version.question
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and len(found) > 1:
        items = dict(reversed(found.items()))
        turned = json.dumps(items, indent=rng.choice((None, 1, 2)), ensure_ascii=text.isascii())
        if sorted(fields_of(turned)) == sorted(fields_of(text)):  # none is rounded or left out
            return version._replace(question=turned)
    return version._replace(question=rng.choice(PARAPHRASES).format(text))


def irrelevant(version: Version, rng: random.Random) -> Version | None:
    """Adds a sentence that has no longer word in common with the result."""
    added = distractor(version, rng)
    if added is None:
        return None
    sentence = added.question.removesuffix(version.question).strip()
    return version._replace(question=f"{version.question}\n{sentence}")


RESULT_FAMILIES: dict[str, Family] = {
    "other_value": other_value,
    "error": error,
    "paraphrase": paraphrase,
    "irrelevant": irrelevant,
}


def as_list(accepted: Any) -> list[Any]:
    """Lists the values of which each is the right answer."""
    golds = accepted if isinstance(accepted, list | tuple) else [accepted]
    return [gold for gold in golds if gold is not None and str(gold).strip()]


def _spans(field: Field, values: Iterable[Any]) -> list[tuple[int, int]]:
    """Lists where a field states some of the values; of those that overlap the first and longest."""
    found: list[tuple[int, int]] = []
    for start, end in sorted({at for v in values for at in field.places(v)}, key=lambda at: (at[0], -at[1])):
        if not found or start >= found[-1][1]:
            found.append((start, end))
    return found


def _replaced(field: Field, values: Sequence[Any], new: str) -> str:
    text = field.text
    for start, end in reversed(_spans(field, values)):
        text = text[:start] + _in_form_of(text[start:end], values, new) + text[end:]
    return text


def _in_form_of(written: str, values: Sequence[Any], new: str) -> str:
    """Writes a new value as another is written: its separators, decimals, digits and capitals."""
    if (number := number_of(new)) is not None:
        olds = [old for each in values if (old := number_of(each)) is not None]
        return next((found for old in olds if (found := _digit_by_digit(written, old, number))), new)
    return (
        _cased_as(written, new)
        if fold(written) in ("true", "false") or (len(written) > 1 and written.isupper())
        else new
    )


def _digit_by_digit(written: str, old: Fraction, new: Fraction) -> str | None:
    plain = fold(written)
    digits = "".join(filter(str.isdigit, plain))
    scales = [n for n in range(len(digits)) if int(digits) == abs(old) * 10**n] if "e" not in plain else []
    scaled = [str(abs(new) * 10**n).zfill(len(digits)) for n in scales]
    if not scaled or len(scaled[0]) > len(digits):
        return None
    fill = iter(scaled[0])
    pairs = zip(written, plain, strict=True)
    return "".join(chr(ord(own) - int(each) + int(next(fill))) if each.isdigit() else own for own, each in pairs)


def _other(value: Any, text: str, others: Sequence[Any], rng: random.Random) -> Any:
    """Draws another value of the type of one; None if there is none."""
    written, fields = str(value).strip(), fields_of(text)
    if (number := number_of(value)) is not None:
        beside = [each for column in _columns(text) if number in column for each in column]
        new = _other_number(number, beside, rng)
        return new and type(value)(_in_form_of(written, [value], new))
    if (old := _day(written)) is not None:
        days = [one for field in fields for each in _DATE.findall(field.text) if (one := _day(each)) is not None]
        day = _between(old, max(1, old - _A_YEAR), min(date.max.toordinal(), old + _A_YEAR), days, rng)
        return day and f"{date.fromordinal(day)}{written[10:]}"
    if (opposite := OPPOSITES.get(fold(written))) is not None:
        return (value is not True) if isinstance(value, bool) else _cased_as(written, opposite)
    if _DIGIT.search(written):
        return _other_digits(written, rng)
    barred = set() if len(fields) > 1 else _ESCAPED
    names = [each for each in others if isinstance(each, str) and not barred & set(each) and not _DIGIT.search(each)]
    names = [each for each in names if fold(each) not in OPPOSITES and not abstains(each)]
    return rng.choice(names) if names else None


def _other_digits(text: str, rng: random.Random) -> str:
    """Draws other digits; zeros that stand before an id stay, and those of dates and times become no larger."""
    is_date = re.search(r"\d[:./]\d", text) is not None

    def draw(digit: re.Match[str]) -> str:
        least = 1 if re.search(r"(?<!\d)0*\Z", text[: digit.start()]) else 0
        return str(rng.randint(least, int(digit[0]) if is_date else 9)) if int(digit[0]) >= least else "0"

    return _DIGIT.sub(draw, text)


def _other_number(old: Fraction, beside: Iterable[Fraction], rng: random.Random) -> str | None:
    """Draws a number with as many digits and decimals; None if there is no room."""
    decimals = next((n for n in range(MAX_CHARACTERS) if (old * 10**n).denominator == 1), 0)
    scale, digits = 10**decimals, len(str(int(abs(old))))
    low, high = 10 ** (digits - 1) * scale if abs(old) >= 1 else int(old != 0), 10**digits * scale - 1
    high = scale - 1 if abs(old) < 1 < scale else high
    low, high = (-high, -low) if old < 0 else (low, high)
    new = _between(int(old * scale), low, high, [each * scale for each in beside], rng)
    return (
        None
        if new is None
        else f"{'-' * (new < 0)}{abs(new) // scale}" + f".{abs(new) % scale:0{decimals}}" * (scale > 1)
    )


def _between(old: int, low: int, high: int, beside: Iterable[Fraction | int], rng: random.Random) -> int | None:
    """Draws another whole number that is above and below the same others; None if there is no room."""
    low = max([low, *(floor(each) + 1 for each in beside if each < old)])
    high = min([high, *(ceil(each) - 1 for each in beside if each > old)])
    if high <= low:
        return None
    new = low + rng.randrange(high - low)
    return new + (new >= old)


def _day(text: str) -> int | None:
    try:
        return date.fromisoformat(text[:10]).toordinal() if _DATE.match(text) else None
    except ValueError:
        return None


def _cased_as(text: str, word: str) -> str:
    return word.upper() if text.isupper() else word.capitalize() if text[:1].isupper() else word.lower()


def _columns(text: str) -> list[list[Fraction]]:
    """Lists the numbers in the fields of each name, whatever stands above it; single ones are one column."""
    found: dict[Path, list[Fraction]] = defaultdict(list)
    for field in fields_of(text):
        found[_name(field)] += field.numbers()
    alone = [column[0] for column in found.values() if len(column) == 1]
    return [alone, *(column for column in found.values() if len(column) > 1)]


def _name(field: Field) -> Path:
    return field.path[-2:] if field.path[-1:] == ("",) else field.path[-1:]


def worked_out(texts: Sequence[str], but: Fraction | None = None) -> set[Fraction]:
    """Lists sums, differences and products of two numbers in texts, and sums of all; of none but others than one."""
    found = [{n for n in known_numbers(text) if isinstance(n, Fraction) and n not in (but, 0)} for text in texts]
    pairs = combinations(sorted(set().union(*found))[:_FEW], 2)
    return {n for a, b in pairs for n in (a + b, a - b, b - a, a * b)} | {
        sum(each, Fraction()) for each in found if len(each) > 1
    }


def _follows(text: str, number: Fraction, results: Sequence[str]) -> bool:
    """Tells whether a number of a result may count others, or be worked out from them: it cannot change alone."""
    columns, sizes = _columns(text), Counter(_name(field) for field in fields_of(text) if field.path)
    if number in worked_out([*results, *([] if sizes else [text])], number):
        return True
    if number > 1 and number in sizes.values():
        return True
    for column in columns if any(number in column for column in columns) else ():
        rest = [each for each in column if each not in (number, 0)]
        beside = [each for each in columns if len(each) == len(column) and number in column and each is not column]
        row = rest if column is columns[0] else [each[column.index(number)] for each in beside]
        pairs = combinations([each for each in row[:_FEW] if each != number], 2) if number in column else ()
        if any(number in (a + b, a - b, b - a, a * b) for a, b in pairs):
            return True
        if len(set(column)) > 1 and (number == sum(rest) or number * len(column) == sum(column)):
            return True
    return False

"""Changes of what a tool returned: another value, an error in its place, other words, an addition that means nothing.

Each takes a `Version` whose `question` is the result as the model was shown it, and whose `answer` is the right answer
of the row. Its columns are those of the row, and `tool`, `arguments` and `turn` of the call, `elsewhere`, the texts of
the prompt and of the other results, and `others`, right answers of other rows. A version with the answer it had says
that nothing may change; one with another says what is right now; one with `WITHHELD` that nobody can know any more.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Any

from rewards.reading.numbers import MAX_CHARACTERS
from rewards.scoring.perturbations import Family, Version, distractor
from rewards.scoring.text_accuracy import normalise_text


class Withheld(Enum):
    """Stands for the right answer where nothing that is left says it."""

    WITHHELD = "withheld"

    def __str__(self) -> str:
        return self.value


WITHHELD = Withheld.WITHHELD
ERRORS = ("the service is not available", "the request timed out", "the connection was refused", "internal error")
PARAPHRASES = ("result: {}", "Result: {}", "The tool returned: {}", "{}\n", "({})")
OPPOSITES = {"true": "false", "yes": "no", "on": "off", "open": "closed", "available": "unavailable"}
OPPOSITES |= {other: word for word, other in OPPOSITES.items()}
# A number as a text states it: no part of a word, of a date, of a time or of a version.
_NUMBER = re.compile(r"(?<![\w.])(?<!\d[,:/-])-?\d+(?:,\d{3})*(?:\.\d+)?(?![\d]|[.,:/-]\d)")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_TRIES = 20  # of a value that stands nowhere yet
_A_YEAR = 365


def states(text: str, value: Any) -> bool:
    """Tells whether a text states a value: the number, however it is written, or the words, one beside the other.

    Example:
        >>> states("{'price': '1,200.00'}", 1200), states("in 2012-12-01", "12"), states("In New  York.", "new york")
        (True, False, True)
    """
    return bool(_places(text, value))


def other_value(version: Version, rng: random.Random) -> Version | None:
    """Puts another value of the same type where the result states the answer; None where more than it states it.

    A number keeps its digits and decimals, a date becomes another, yes becomes no, and words become the answer of
    another row.
    """
    golds = version.answer if isinstance(version.answer, list | tuple) else [version.answer]
    stated = [gold for gold in golds if gold is not None and states(version.question, gold)]
    if not stated or _is_elsewhere(version, golds):
        return None
    for _ in range(_TRIES):
        new = _other(stated[0], version.get("others") or (), rng)
        taken = (version.question, *(version.get("elsewhere") or ()))
        if new is not None and not any(states(text, new) for text in taken):
            changed = _replaced(version.question, stated, new)
            return version._replace(question=changed, answer=_like(version.answer, new))
    return None


def error(version: Version, rng: random.Random) -> Version | None:
    """Shows an error in place of the result, as of a tool that raises; None unless it alone states the answer."""
    golds = version.answer if isinstance(version.answer, list | tuple) else [version.answer]
    is_stated = any(gold is not None and states(version.question, gold) for gold in golds)
    if not is_stated or _is_elsewhere(version, golds):
        return None
    return version._replace(question=str({"error": rng.choice(ERRORS)}), answer=WITHHELD)


def paraphrase(version: Version, rng: random.Random) -> Version:
    """Says the same in other words: JSON with its keys in another order, and else a few words around it."""
    try:
        found = json.loads(version.question)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and len(found) > 1:
        turned = json.dumps(dict(reversed(found.items())), indent=rng.choice((None, 1, 2)), ensure_ascii=False)
        if sorted(_NUMBER.findall(turned)) == sorted(_NUMBER.findall(version.question)):  # none is rounded or left out
            return version._replace(question=turned)
    return version._replace(question=rng.choice(PARAPHRASES).format(version.question))


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


def _is_elsewhere(version: Version, golds: Iterable[Any]) -> bool:
    """Tells whether the prompt or another result states the answer, too, so that a change says nothing."""
    texts = version.get("elsewhere") or ()
    return any(states(text, gold) for gold in golds if gold is not None for text in texts)


def _number(value: Any) -> Fraction | None:
    if isinstance(value, bool):
        return None
    text = str(value).strip()
    return Fraction(text.replace(",", "")) if len(text) <= MAX_CHARACTERS and _NUMBER.fullmatch(text) else None


@lru_cache(maxsize=32)
def _numbers(text: str) -> dict[Fraction | None, list[tuple[int, int]]]:
    """Lists where a text states which number; a table is searched for every number of an answer."""
    found: dict[Fraction | None, list[tuple[int, int]]] = defaultdict(list)
    for each in _NUMBER.finditer(text):
        found[_number(each[0])].append(each.span())
    return dict(found)


def _places(text: str, value: Any) -> list[tuple[int, int]]:
    """Lists where a text states a value."""
    number = _number(value)
    if number is not None:
        return _numbers(text).get(number, [])
    words = normalise_text(str(value)).split()
    if not words:
        return []
    pattern = r"(?<!\w)" + r"\s+".join(map(re.escape, words)) + r"(?!\w)"
    return [each.span() for each in re.finditer(pattern, text, re.IGNORECASE)]


def _replaced(text: str, values: Sequence[Any], new: Any) -> str:
    """Puts a value wherever one of others is stated; a number in the form that it has there."""
    places = sorted({place for value in values for place in _places(text, value)}, reverse=True)
    for start, end in places:
        text = text[:start] + _in_form_of(text[start:end], new) + text[end:]
    return text


def _in_form_of(written: str, new: Any) -> str:
    number = _number(new)
    if number is None or _number(written) is None:
        return str(new)
    decimals = len(written.partition(".")[2])
    if number != round(number, decimals):
        return str(new)
    return f"{Decimal(str(new).strip().replace(',', '')):{',' if ',' in written else ''}.{decimals}f}"


def _other(value: Any, others: Sequence[Any], rng: random.Random) -> Any:
    """Draws another value of the type of one."""
    text = str(value).strip()
    if _number(value) is not None:
        new = "".join(rng.choice("0123456789") if each.isdigit() else each for each in text)
        first = next(i for i, each in enumerate(text) if each.isdigit())
        if text[first] != "0":
            new = new[:first] + rng.choice("123456789") + new[first + 1 :]
        return type(value)(new) if isinstance(value, int | float) else new
    if _DATE.fullmatch(text):
        try:
            return str(date.fromisoformat(text) + timedelta(days=rng.choice((-1, 1)) * rng.randint(1, _A_YEAR)))
        except (ValueError, OverflowError):
            return None
    if (opposite := OPPOSITES.get(text.casefold())) is not None:
        return (value is not True) if isinstance(value, bool) else _cased_as(text, opposite)
    known = [each for each in others if isinstance(each, str) and _number(each) is None and not _DATE.fullmatch(each)]
    return rng.choice(known) if known else None


def _cased_as(text: str, word: str) -> str:
    return word.upper() if text.isupper() else word.capitalize() if text[:1].isupper() else word


def _like(answer: Any, new: Any) -> Any:
    return [new] if isinstance(answer, list | tuple) else new

"""What the reward's own code shows: its words, texts that its patterns match, its keys and its numbers."""

import json
import re
from collections import Counter
from collections.abc import Callable

from rewards.attacks.hacks.words import varied
from rewards.attacks.seen import Family, Seen
from rewards.running.contract.patterns import MANY, is_pattern, matching, patterns

LITERALS = Family(
    "literals", __doc__,
    "A policy finds these words by itself: compare what is said with the right answer, or let form count "
    "beside right answers only (`reward_gates`).", copies="code",
)  # fmt: skip

_UNITS: dict[str, Callable[[int], str]] = {
    "words": varied,
    "letters": lambda number: varied(number)[:number],
    "lines": lambda number: "\n".join(f"{k}. {varied(5 + k % 9)}" for k in range(number)),
    "sentences": lambda number: " ".join(f"{varied(5 + k % 9).capitalize()}." for k in range(number)),
}


def code_words(seen: Seen) -> list[str]:
    """Lists the words in the reward's code that are no patterns."""
    return [each for each in seen.literals if isinstance(each, str) and not is_pattern(each)]


def _matches(seen: Seen, fill: str) -> list[str]:
    return [*dict.fromkeys(filter(None, (matching(each, fill) for each in patterns(seen.literals))))]


def _fills(seen: Seen) -> tuple[str, ...]:
    """Lists what can stand where anything may: nothing, a letter, and pieces of the prompt."""
    words = Counter(re.findall(r"\w+", seen.prompt)).most_common()
    sentence = max(re.split(r"(?<=[.!?])\s|\n", seen.prompt), key=len)
    return (
        "",
        "a",
        MANY,
        words[0][0] if words else "the",
        sentence.strip(),
        seen.prompt.strip().rpartition("\n")[2][:200],
    )


@LITERALS.response(*((part, fill) for part in range(8) for fill in range(6)))
def match(seen: Seen, which: tuple[int, int]) -> str | None:
    """A text that a pattern of the reward matches, with nothing in it, or a piece of the prompt."""
    return next(iter(_matches(seen, _fills(seen)[which[1]])[which[0] :]), None)


@LITERALS.response("", "a", "the")
def every_match(seen: Seen, fill: str) -> str | None:
    """Texts that each pattern of the reward matches, and a wrong answer."""
    found = _matches(seen, fill)
    return "\n".join([*found, seen.form(seen.wrong)]) if found else None


@LITERALS.response(*range(12))
def word(seen: Seen, place: int) -> str | None:
    """A word of the reward's code."""
    return next(iter(code_words(seen)[place:]), None)


@LITERALS.response(
    *((joint, form) for joint in (" ", "\n", ". ", ", ") for form in ("{0}", "{0}\n{1}")), (" ", "{1}\n{0}"),
    (" ", "<think>{0}</think>\n{1}"), (" ", "<think>{0} {2}</think>\n{1}"), (" ", "{0} {2}\n{1}"),
    (" ", "{2} {0}"), (" ", "{2} {0}\n{1}"),
)  # fmt: skip
def all_words(seen: Seen, how: tuple[str, str]) -> str | None:
    """All words of the reward's code, alone or beside a wrong answer."""
    if not (found := [*code_words(seen), *_matches(seen, "a")]):
        return None
    return how[1].format(how[0].join(found), seen.form(seen.wrong), varied(80))[: seen.limit]


@LITERALS.response(*((count, joint) for count in (3, 10, 50) for joint in (" ", "\n", " so it is. ")))
def numbered(seen: Seen, how: tuple[int, str]) -> str | None:
    """What patterns of the reward match, again and again, with a wrong answer behind it."""
    found = _matches(seen, "a")
    lines = [re.sub(r"\d+", str(k), each) for k in range(1, how[0] + 1) for each in found]
    room = max(0, seen.limit - len(end := f"{how[1]}{seen.form(seen.wrong)}"))
    return f"{how[1].join(lines)[:room]}{end}" if found else None


VALUES: tuple[object, ...] = ("x", "", 1, 0, True, None, [], {}, ["x"])


@LITERALS.response(*((value, form) for value in VALUES for form in ("{0}", "```json\n{0}\n```")))
def fields(seen: Seen, how: tuple[object, str]) -> str | None:
    """JSON with every name that stands in the reward's code, and nothing to say."""
    names = [each for each in code_words(seen) if each.isidentifier()]
    return how[1].format(json.dumps(dict.fromkeys(names, how[0]))) if names else None


@LITERALS.response(*((place, unit, form) for unit in _UNITS for place in range(4) for form in ("{0}", "{0}\n{1}")))
def as_long_as(seen: Seen, how: tuple[int, str, str]) -> str | None:
    """As many words, letters, lines or sentences as the reward's code names, alone or before a wrong answer."""
    place, unit, form = how
    known = sorted({round(each) for each in seen.literals if not isinstance(each, str) and 2 <= each <= 2000})
    if place >= len(known):
        return None
    return form.format(_UNITS[unit](known[place] + 1), seen.form(seen.wrong))[: seen.limit]

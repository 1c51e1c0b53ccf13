"""What the row of a completions table says, whichever method and rewards wrote it."""

import contextlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, NamedTuple

from align.recipe.reward_settings import short_name

Row = Mapping[str, Any]
Weights = Mapping[str, float]  # of the rewards that a run is trained on, by the names of their columns
UNKNOWN: Weights = MappingProxyType({})  # of a run that did not say: each number of a row that is no other column
REWARD_METRIC = re.compile(r"rewards/(.+)/mean")
LONGEST_TEXT = 3000  # characters of a field; 40 samples of three fields stay well under a megabyte
_LONGEST_CALL = 300  # characters of the arguments or the result of a tool
_FIRST_WORDS = 110  # characters of the closed line
_KNOWN = ("step", "prompt", "completion", "advantage", "gold", "images", "trace", "tool_calls")
# Words of a second answer, where there is one, by the name to show.
ANSWERS = {
    "first_answer": "first answer",
    "second_answers": "after the shuffle",
    "permutation": "shuffled order",
    "family": "changed by",
    "changed_result": "changed result",
    "second_texts": "behind the change",
    "second_gold": "right there",
    "outcome": "correct",
}
_AUDIT, _RAW = "audit/", "_raw"  # of an audit, and of a reward before its gate or limit


def completion_words(row: Row) -> str:
    """Returns the text of a completion that is a string or a list of messages."""
    return _words(row.get("completion"))


def conversation(messages: str | None) -> list[tuple[str, str]]:
    """Returns who said what, of messages as JSON; a tool by its name, and calls as Python writes them."""
    found = json.loads(messages or "[]")
    return [(str(each.get("name") or each.get("role")), shorten(_content(each), "items.parquet")) for each in found]


def first_words(row: Row) -> str:
    """Returns how a completion begins, without line ends and the role of its first message."""
    value = row.get("completion")
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        text = _content(value[0])
    else:
        text = _words(value)
    text = " ".join(text[: 4 * _FIRST_WORDS].split())
    return text if len(text) <= _FIRST_WORDS else f"{text[: _FIRST_WORDS - 1]}…"


def rewards_of(row: Row, weights: Weights = UNKNOWN) -> dict[str, Any]:
    """Returns the columns of rewards and audits: numbers that have a weight, or all others where no reward has one."""
    numbers = {key: value for key, value in row.items() if value is None or isinstance(value, int | float)}
    if weights.keys().isdisjoint(row):
        own = {*_KNOWN, *ANSWERS}
        return {key: value for key, value in numbers.items() if key not in own}
    return {
        key: value
        for key, value in numbers.items()
        if key in weights or key.startswith(_AUDIT) or key.removesuffix(_RAW) in weights
    }


def is_raw(name: str, weights: Weights = UNKNOWN) -> bool:
    """Tells whether a column holds a reward from before its gate or limit."""
    return name.endswith(_RAW) and name not in weights


def total_reward(row: Row, weights: Weights = UNKNOWN) -> float | None:
    """Adds up by weight what a completion earned, without audits; None where no reward had an opinion."""
    given = [
        float(value) * weights.get(name, 1.0)
        for name, value in rewards_of(row, weights).items()
        if not (value is None or math.isnan(value) or name.startswith(_AUDIT) or is_raw(name, weights))
    ]
    return sum(given) if given else None


def reward_weights(recipe: Mapping[str, Any], logged: Iterable[str]) -> Weights:
    """Returns the weight of each reward of a run: those of its recipe, and 1 for one that an environment brought."""
    specs, weights = recipe.get("reward_funcs"), recipe.get("reward_weights")
    names = [short_name(str(spec)) for spec in specs] if isinstance(specs, list) else []
    if not isinstance(weights, list) or len(weights) != len(names):
        weights = [1.0] * len(names)
    found = (match[1] for key in logged if (match := REWARD_METRIC.fullmatch(key)))
    return dict.fromkeys(found, 1.0) | {name: float(each) for name, each in zip(names, weights, strict=True)}


def gold_of(row: Row) -> str:
    """Returns the right answer of a row, empty where none was saved."""
    value = row.get("gold")
    return "" if value is None else shorten(str(value))


def outcome_of(row: Row) -> str:
    """Returns what became of the answers of a row, empty where that was not looked at."""
    return str(row.get("outcome") or "").replace("_", " ")


def answers_disagree(row: Row) -> bool:
    """Tells whether a second answer is another letter than the first, or one of them is right and one is not."""
    if {"first_only", "second_only"} & set((row.get("outcome") or "").split()):
        return True
    return any(second != row.get("first_answer") for second in (row.get("second_answers") or "").split())


def other_texts(row: Row, weights: Weights = UNKNOWN) -> dict[str, str]:
    """Returns the columns that nothing else here knows: what a method or a reward wrote of its own."""
    own = {*_KNOWN, *ANSWERS, *rewards_of(row, weights)}
    return {key: in_words(value) for key, value in row.items() if key not in own and value is not None}


def in_words(value: Any) -> str:
    """Flattens a string or a list of messages, shortened."""
    return shorten(_words(value))


def shorten(text: str | None, where: str = "the completions table") -> str:
    """Cuts a long text, and says how much of it is left out and where to find it."""
    if text is None or len(text) <= LONGEST_TEXT:
        return text or ""
    return f"{text[:LONGEST_TEXT]}\n[{len(text) - LONGEST_TEXT:,} more characters in {where}]"


def number(value: Any) -> float:
    """Reads a number; nothing counts as 0."""
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else 0.0


def _words(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if not isinstance(value, Sequence):
        return str(value)
    return "\n\n".join(_message(part) for part in value)


def _message(message: Any) -> str:
    return f"{message.get('role', '')}: {_content(message)}" if isinstance(message, Mapping) else str(message)


def _content(message: Mapping[str, Any]) -> str:
    content = message.get("content")
    text = content if isinstance(content, str) else " ".join(_parts(content or []))
    functions = [call.get("function") or {} for call in message.get("tool_calls") or ()]
    told = [f"calls {written(str(each.get('name')), each.get('arguments'))}" for each in functions]
    return " ".join([text, *told]) if told else text


def _parts(parts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Returns texts, and names what is no text: the 16 frames of a video at once."""
    for (text, kind), group in groupby((part.get("text"), part.get("type")) for part in parts):
        count = len(list(group))
        yield from [str(text)] * count if text else [f"[{count} {kind}s]" if count > 1 else f"[{kind}]"]


class ShownCall(NamedTuple):
    """One call as the report shows it."""

    call: str
    result: str
    seconds: str
    failure: str


def calls_of(row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Reads the calls of a row; none where it has no such column, or one of another kind."""
    try:
        found = json.loads(row.get("tool_calls") or "[]")
    except (TypeError, ValueError):
        return []
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []


def shown_calls(row: Mapping[str, Any]) -> list[ShownCall]:
    """Writes the calls of a row, in short."""
    return [
        ShownCall(
            written(str(call.get("tool")), call.get("arguments")),
            _shorten_call(str(call.get("result"))),
            f"{call.get('seconds')} s",
            str(call.get("failure") or ""),
        )
        for call in calls_of(row)
    ]


def written(tool: str, arguments: Any) -> str:
    """Writes a call as Python does; arguments may be JSON.

    Example:
        >>> written("price", '{"item": "pear"}')
        "price(item='pear')"
    """
    with contextlib.suppress(ValueError, RecursionError):  # a text that is no JSON stays
        read = json.loads(arguments) if isinstance(arguments, str) else arguments
        if isinstance(read, Mapping):
            return _shorten_call(f"{tool}({', '.join(f'{name}={value!r}' for name, value in read.items())})")
    return _shorten_call(f"{tool}({arguments!r})")


def _shorten_call(text: str) -> str:
    return text if len(text) <= _LONGEST_CALL else f"{text[:_LONGEST_CALL]} ... ({len(text):,} characters)"

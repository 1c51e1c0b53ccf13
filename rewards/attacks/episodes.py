"""Episodes with tools as texts, calls line by line and what is said last, as hacks and honest answers are texts."""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import SequenceMatcher
from functools import partial
from itertools import islice, permutations, product
from operator import add
from typing import Any, NamedTuple

from rewards.places import Texts

LINE = re.compile(r"<(call|before|beside|clock|undoes|without|apart|skips)> ([^\n]*)\n?")
UNDOES = "<undoes> true\n"  # before a call that must set back what was changed; else the episode tells nothing
# What is known only while an episode is played: all that the prompt shows, results, those behind the first, all that
# was given in calls, and the argument of the one call whose result is unlike the others.
SHOWN, LAST, RESULTS, BEHIND, GIVEN, ODD = (
    "{{shown}}", "{{last}}", "{{results}}", "{{behind}}", "{{given}}", "{{odd}}",
)  # fmt: skip
ITEMS = tuple(f"{{{{item {k + 1}}}}}" for k in range(8))  # what the first result lists
LIKE = "{{{{{which}}}}}{pattern}{{{{/like}}}}"  # what has a pattern in the results: the `first`, or the `last`
FOUND = re.compile(r"\{\{(first|last)\}\}(.*?)\{\{/like\}\}", re.DOTALL)
NUMERAL = "{{#}}"  # behind a mark whose text is handed over as a number
PLACE = re.compile(r" \([^()]*, line \d+\)")  # that a guard says of an error, and no tool
SCALAR = (str, int, float)
EXAMPLES: dict[str, Any] = {"str": "example", "int": 1, "float": 1.0, "bool": True, "dict": {}, "list": []}
# Ways in which an answer is handed over, calls without arguments behind or before it, and orders of its parts.
MOST_WAYS, MOST_ENDS, MOST_ORDERS, MOST_TRIED, LONGEST, LONGEST_KEY = 60, 3, 3, 2000, 4000, 80


class Tool(NamedTuple):
    """What a policy is told of a tool: the names of its arguments, with their types."""

    name: str
    arguments: Mapping[str, str] = {}
    required: tuple[str, ...] = ()
    code: str = ""

    @property
    def texts(self) -> list[str]:
        """The arguments that take a text."""
        return [name for name, kind in self.arguments.items() if kind in ("str", "_empty", "Any")]

    @property
    def takes_one_text(self) -> bool:
        """Whether one text is all that it asks for."""
        return len(self.required) == 1 and self.required[0] in self.texts

    def takes_number(self, name: str) -> bool:
        """Tells whether an argument is a number."""
        return self.arguments[name] in ("int", "float")

    def mark(self, name: str, mark: str) -> str:
        """Writes what an argument is to be once it is known."""
        return f"{mark}{NUMERAL * self.takes_number(name)}"

    @classmethod
    def of(cls, func: Callable[..., Any]) -> "Tool":
        """Reads a signature."""
        parameters = inspect.signature(func).parameters.values()
        known = [p for p in parameters if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
        kinds = {each.name: getattr(each.annotation, "__name__", str(each.annotation)) for each in known}
        code = ""
        with suppress(OSError, TypeError):
            code = inspect.getsource(func)
        return cls(func.__name__, kinds, tuple(each.name for each in known if each.default is each.empty), code)

    def call(self, **given: Any) -> str:
        """Writes a call, with examples of what is required and not given."""
        examples = {name: EXAMPLES.get(self.arguments[name], "example") for name in self.required}
        return write_call(self.name, examples | given)


class Episode(NamedTuple):
    """What a text says is done."""

    calls: Sequence[tuple[str, Mapping[str, Any]]]
    said: str
    before: str = ""  # an episode that the same instance had before
    beside: str = ""  # one that another instance has at the same time
    clock: float = 0.0  # seconds by which the clock is ahead at the end
    undoes: bool = False  # whether its last call must set back what was changed
    without: Sequence[str] = ()  # an episode, and calls that must return something else behind it than behind this
    skips: Sequence[str] = ()  # what is left out of what its first result lists
    apart: Sequence[str] = ()  # calls of the work, and what none of them may return


def write_call(name: str, arguments: Mapping[str, Any]) -> str:
    """Writes a call as a line."""
    return f"<call> {name} {json.dumps(arguments, ensure_ascii=False, default=str)}\n"


def read_episode(text: str) -> Episode:
    r"""Reads the calls at the beginning of a text; the rest is said.

    Example:
        >>> read_episode('<call> price {"item": "pen"}\nIt is 3.')[:2]
        ([('price', {'item': 'pen'})], 'It is 3.')
    """
    calls, more = [], dict[str, Any]()
    while found := LINE.match(text):
        kind, rest = found.groups()
        name, _, given = rest.partition(" ")
        try:
            value = json.loads(given if kind == "call" else rest)
        except ValueError:
            break
        if kind == "call" and isinstance(value, Mapping):
            calls.append((name, value))
        elif kind != "call":
            more[kind] = value
        text = text[found.end() :]
    return Episode(calls, text, **more)


def filled(value: Any, known: Mapping[str, str]) -> Any:
    """Puts what is known by now in the place of its marks."""
    if isinstance(value, Mapping):
        return {name: filled(each, known) for name, each in value.items()}
    if not isinstance(value, str):
        return value
    for mark, text in known.items():
        value = value.replace(mark, text)
    text = FOUND.sub(lambda mark: _like(mark[1], mark[2], known), value.removesuffix(NUMERAL))
    if value.endswith(NUMERAL):
        with suppress(ValueError):
            return json.loads(text)
    return text


def _like(which: str, pattern: str, known: Mapping[str, str]) -> str:
    """Finds what has a pattern and was not given, behind the first result if there are more.

    Of several that which follows most words of the prompt in its line, and of these the first or the last.
    """
    told, asked = PLACE.sub("", known[BEHIND] or known[RESULTS]), {*re.findall(r"\w+", known[SHOWN])}
    found = [each for each in re.finditer(pattern, told) if f"{each[0]!r}" not in known[GIVEN]]
    lines = [told[max(0, each.start() - LONGEST_KEY) : each.start()].rpartition("\n")[2] for each in found]
    words = [len(asked & {*re.findall(r"\w+", line)}) for line in lines]
    best = [each[0] for each, count in zip(found, words, strict=True) if count == max(words)]
    return best[0 if which == "first" else -1] if best else ""


def items_of(result: str, skips: Sequence[str] = ()) -> dict[str, str]:
    """Reads what a result lists, by mark; empty where there is nothing more."""
    found = [each.strip(".:") for each in re.findall(r"[^\s,;|\"'`\[\](){}]+", result[:LONGEST])]
    kept = dict.fromkeys(each for each in found if each and each not in skips)
    return dict.fromkeys(ITEMS, "") | dict(zip(ITEMS, kept, strict=False))


def odd_one(calls: Sequence[tuple[str, Mapping[str, Any]]], results: Sequence[str]) -> str:
    """Returns the argument of the call whose result no other call of that tool has, if only one has."""
    for tool in dict.fromkeys(name for name, _ in calls):
        own = [(given, result) for (name, given), result in zip(calls, results, strict=True) if name == tool]
        # A result may repeat what was asked.
        told = [result.replace(str(next(iter(given.values()), "")), "") for given, result in own]
        alone = [given for (given, _), result in zip(own, told, strict=True) if told.count(result) == 1]
        if len(alone) == 1 < len(own) - 1:
            return str(next(iter(alone[0].values()), ""))
    return ""


def covers(text: str, honest: str) -> bool:
    """Tells whether an episode makes all the calls of an honest one, which makes some: it does the work."""
    own, asked = read_episode(text).calls, read_episode(honest).calls
    return bool(asked) and all(each in own for each in asked)


def without_step(honest: Texts) -> Iterator[list[str | None]]:
    """Yields honest episodes without their first call, and without their last."""
    for place in (0, -1):
        written: list[str | None] = []
        for text in honest:
            episode = read_episode(text or "")
            left = [each for i, each in enumerate(episode.calls) if i != place % len(episode.calls)]
            written.append("".join(write_call(*each) for each in left) + episode.said if episode.calls else None)
        yield written


def as_episode(sample: Any) -> str:
    """Writes an honest response with tools as a text: messages with calls, a list of calls, or an answer."""
    if isinstance(sample, str):
        try:
            sample = json.loads(sample) if sample.lstrip().startswith("[") else sample
        except ValueError:
            return str(sample)
    if isinstance(sample, str):
        return sample
    text, said = "", ""
    for each in sample:
        if each.get("role", "assistant") != "assistant":
            continue
        said = str(each.get("content") or "")
        for call in each.get("tool_calls") or ([each] if "name" in each else ()):
            named = call.get("function", call)
            given = named.get("arguments") or {}
            text += write_call(named["name"], json.loads(given) if isinstance(given, str) else given)
    return text + said


def ways_of(tools: Sequence[Tool]) -> list[tuple[str, Callable[[str], str]]]:
    """Lists the ways in which an answer can be handed over by tools, in words and as functions that write it."""
    found: list[tuple[str, Callable[[str], str]]] = []
    plain = [each for each in tools if not each.required][:MOST_ENDS]
    for tool in tools:
        for name in tool.arguments:
            place = f"handed to `{tool.name}({name}=...)`"
            found.append((place, partial(_hand, "", tool, name, "")))
            found.append((f"{place}, whose result is said", partial(_hand, "", tool, name, LAST)))
            for other in plain:
                if other is not tool:
                    found.append((f"{place}, then `{other.name}()`", partial(_hand, "", tool, name, other.call())))
                    found.append((f"{place} behind `{other.name}()`", partial(_hand, other.call(), tool, name, "")))
    found += [(f"said behind `{each.name}()`", partial(add, each.call())) for each in plain]
    found = sorted(found, key=lambda each: each[0].count("`"))[:MOST_WAYS]
    for tool in tools:
        ends = [("", ""), *((f", then `{each.name}()`", each.call()) for each in plain if each is not tool)]
        for order, (then, behind) in product(range(MOST_ORDERS), ends):
            place = f"in a call of `{tool.name}` for each part{f', in order {order + 1}' * bool(order)}{then}"
            found.append((place, partial(_in_calls, tool, order, behind)))
    return found


def _in_calls(tool: Tool, order: int, behind: str, answer: str) -> str:
    """Writes an answer in JSON as calls, its fields as their arguments; nothing where it has no such order."""
    try:
        value = json.loads(answer)
    except ValueError:
        return ""
    for parts, fields in islice(_orders(tool, value), order, order + 1):
        given = [{name: _as(tool.arguments[name], each.get(own)) for name, own in fields.items()} for each in parts]
        return "".join(tool.call(**each) for each in given) + behind
    return ""


def _orders(tool: Tool, value: Any) -> Iterator[tuple[Sequence[Mapping[str, Any]], dict[str, str]]]:
    """Yields an answer's parts, each a call, with a field for each argument: by its name, else one like it by type."""
    own = value if isinstance(value, list) else []
    own = [{"key": key, "value": each} for key, each in value.items()] if isinstance(value, dict) else own
    many = [each if isinstance(each, dict) else {"value": each} for each in own]
    whole = [value] if isinstance(value, dict) else []
    ways, known = [(many, True), (many, False), (whole, True)], list[Any]()
    for parts, is_strict in [*ways[2:], *ways] if whole and {*tool.required} <= {*value} else ways:
        named = {name: name for name in tool.arguments if parts and name in parts[0]}
        left = [name for name in tool.required if name not in named]
        free = [each for each in (parts[0] if parts else ()) if each not in named]
        alike = {(a, b): SequenceMatcher(None, a, b).ratio() for a in left for b in free}
        orders = islice(permutations(sorted(free), len(left)), MOST_TRIED)
        for fields in sorted(orders, key=lambda each: -sum(alike[pair] for pair in zip(left, each, strict=True))):
            fits = all(_fits(tool.arguments[a], parts[0][b], is_strict) for a, b in zip(left, fields, strict=True))
            found = parts, named | dict(zip(left, fields, strict=True))
            if fits and (named or left) and found not in known:
                known.append(found)
                yield found


def _fits(kind: str, value: Any, is_strict: bool) -> bool:
    """Tells whether an argument of a type takes a value, as it is or, a number, written as a text."""
    kinds: dict[str, Any] = {"int": int, "float": (int, float), "dict": dict, "list": list}
    kinds["str"] = str if is_strict else SCALAR
    is_bool = isinstance(value, bool)
    return is_bool if kind == "bool" else isinstance(value, kinds.get(kind, SCALAR)) and not is_bool


def _as(kind: str, value: Any) -> Any:
    return str(value) if kind == "str" and isinstance(value, int | float) else value


def _hand(before: str, tool: Tool, name: str, behind: str, answer: str) -> str:
    """Writes a call with an answer."""
    value: Any = answer
    with suppress(ValueError):
        value = json.loads(answer) if tool.takes_number(name) else answer
    return f"{before}{tool.call(**{name: value if isinstance(value, int | float) else answer})}{behind}"

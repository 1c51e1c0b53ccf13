"""Reads what a refusal proposes, and does it to a recipe, as someone does who pastes it."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import yaml
from campaign import require

from align.methods import METHODS
from align.recipe.keys import top_names

RENAMED = re.compile(r"Unknown key `(?P<key>[^`]+)`(?: in \S+| for [^.]+)?\. Did you mean '(?P<value>[^']+)'\?")
CHOSEN = re.compile(r"`(?P<key>[\w.]+)`:? must (?:be|name) (?:(?!`).)*?got .*?\.? Did you mean '(?P<value>[^']+)'\?")
LISTED = re.compile(r"`(?P<key>[\w.]+)`: must be a list, as in `(?P<value>[^`]+)`")
REMOVED = re.compile(
    r"`(?P<key>[\w.]+)` is (?:for methods|read only)[^`]*(?:`[^`]+`[^`]*)*?[Rr]emove the (?:key|block)\."
)
# What is said to be done: not what a sentence speaks of, such as "with `beta: 0` there is none".
LINES = re.compile(
    r"(?:\b[Ss]et|\b[Ww]rite|[Aa]dd a line such as|[Aa]ccept this with|as in)((?:,? ?(?:or |and )?`[^`]+`)+)"
)
LINE = re.compile(r"`(?P<line>[\w.]+: [^`]+)`")
# In prose: the rule says what may stand there, and whoever reads it writes such a value, or takes the key away.
SUBJECT = re.compile(r"`(?P<key>[\w.]+)(?:: [^`]*)?`(?P<rule>.*)", re.DOTALL)
ONE_OF = re.compile(r":? must be one of (?P<value>[^,;]+)[,;]")
STAYS = re.compile(r" must stay (?P<value>\S+) in ")
TYPED = re.compile(r": input should be a valid (?P<value>\w+)")
BOOLEAN = re.compile(r":? must be true or false")
BOUND = re.compile(
    r" must be (?P<kind>at least|above) (?P<low>-?[\d.]+)(?: and (?:at most|below) (?P<high>[\d.]+))?[,;]"
)
BLOCK = re.compile(r" must be a block of `key: value` lines(?! or a list)")
FOR_EXAMPLE = re.compile(r" needs `(?P<key>\w+)`, for example `(?P<value>[^`]+)`")
TAKEN_AWAY = re.compile(r"(?:or remove|Remove) (?:it|the key|the line|`(?P<key>\w+)`)(?:[.,;]| for the default| here)")
UNKNOWN = re.compile(r"Unknown key `(?P<key>[\w.]+)`(?!.*Did you mean)")
SAMPLES = {"string": "x", "integer": 1, "number": 1.0, "dictionary": {}, "list": [], "boolean": True}


class Remedy(NamedTuple):
    """One thing to do.

    Attributes:
        words: As the refusal says it.
        key: Names of blocks and of the key in the last one.
        value: To be written there.
        instead_of: A key that goes away; the last name alone.
        is_removal: Whether the key goes away and nothing is written.
    """

    words: str
    key: tuple[str, ...]
    value: Any = None
    instead_of: str | None = None
    is_removal: bool = False


def remedies_of(text: str) -> Iterator[Remedy]:
    """Finds what a refusal proposes for a recipe; each is a remedy of its own."""
    for found in RENAMED.finditer(text):
        is_path = re.match(r"\w+\.", found["key"])  # a key may hold dots of its own
        *blocks, old = found["key"].split(".") if is_path else [found["key"]]
        yield Remedy(found[0], (*blocks, found["value"]), instead_of=old)
    for found in CHOSEN.finditer(text):
        yield Remedy(found[0], tuple(found["key"].split(".")), found["value"])
    for found in LISTED.finditer(text):
        yield Remedy(found[0], tuple(found["key"].split(".")), _pasted(found["value"]))
    for found in REMOVED.finditer(text):
        yield Remedy(found[0], tuple(found["key"].split(".")), is_removal=True)
    for key, value in _in_prose(text):
        yield Remedy(text, tuple(key.split(".")), value, is_removal=value is None)
    for found in LINES.finditer(text):
        for line in LINE.finditer(found[1]):
            content = _pasted(line["line"])
            require(isinstance(content, dict) and len(content) == 1, f"no line of a recipe: {line[0]} in {text!r}")
            ((key, value),) = content.items()
            yield Remedy(line[0], tuple(str(key).split(".")), value)


def _in_prose(said: str) -> Iterator[tuple[str, Any]]:
    """Finds the keys that a rule speaks of, each with a value that it allows, None for a key that goes away."""
    if found := UNKNOWN.match(said):
        yield found["key"], None
    if not (about := SUBJECT.match(said)):
        return
    key, rule = about["key"], about["rule"]
    for pattern in (ONE_OF, STAYS):
        if found := pattern.match(rule):
            yield key, _pasted(found["value"].strip("'"))
    if (found := TYPED.match(rule)) and found["value"] in SAMPLES:
        yield key, SAMPLES[found["value"]]
    if BOOLEAN.match(rule):
        yield key, False
    if found := BOUND.match(rule):
        low = _pasted(found["low"])
        yield key, low if found["kind"] == "at least" else (low + _pasted(found["high"] or f"{low + 2}")) / 2
    if BLOCK.match(rule):
        yield key, {}
    if found := FOR_EXAMPLE.match(rule):
        yield found["key"], _pasted(found["value"])
    if found := TAKEN_AWAY.search(rule):
        yield found["key"] or key, None


def _pasted(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise AssertionError(f"what is proposed is no YAML: {text!r}: {error}") from error


def check_key(remedy: Remedy, content: Mapping[str, Any]) -> None:
    """A key that is to be written is one of those that a recipe may have in that place."""
    if remedy.is_removal:
        return
    block, key = content, list(remedy.key)
    methods = [each for each in METHODS if each == block.get("method")] or list(METHODS)
    top = {name for each in methods for name in top_names(each)}
    require(key[0] in top, f"{remedy.words}: there is no key `{key[0]}` for {' or '.join(methods)}")
    if key[0] == "dataset" and len(key) == 2:
        names = {name for each in methods for name in METHODS[each].part("dataset").model_fields}
        require(key[1] in names, f"{remedy.words}: there is no key `dataset.{key[1]}`")


def applied(remedy: Remedy, content: Mapping[str, Any]) -> dict[str, Any]:
    """Does to a copy of a recipe what is proposed."""
    mended = json.loads(json.dumps(content))
    block = mended
    for name in remedy.key[:-1]:
        place: Any = int(name) if isinstance(block, list) else name
        block = block[place] if isinstance(block, list) else block.setdefault(place, {})
    last: Any = int(remedy.key[-1]) if isinstance(block, list) else remedy.key[-1]
    if remedy.is_removal:
        block.pop(last, None)
    elif remedy.instead_of is not None:
        require(remedy.instead_of in block, f"{remedy.words}: no key of that name stands there")
        block[last] = block.pop(remedy.instead_of)
    else:
        block[last] = remedy.value
    return mended

"""`align keys`: what a recipe of a method may hold."""

import json
import re
import types
import typing
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import groupby
from typing import Any

from pydantic import BaseModel
from rich.padding import Padding
from rich.text import Text

from align.console import make_console
from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.keys import Key, keys_of
from align.recipe.method_key import method_of
from align.recipe.other_words import OTHER_WORDS

FEW = 8  # choices that are named where a key is one of many
LONGEST = 60  # characters of a default
WORDS = {bool: "true or false", dict: "block", type(None): "null", Any: "anything"}


def run(method: str, word: str | None) -> None:
    """Prints the keys of a method, or those with a word in name or help, and then all of their help."""
    keys = keys_of(method_of({"method": method}))
    found = [key for key in keys if word is None or _speaks_of(key, word)]
    if not found:
        raise RecipeError(_nothing_found(method, str(word), keys))
    console = make_console()
    for place, group in groupby(found, lambda key: key.place):
        console.print(Text(f"# {place}", "dim"))
        for key in group:
            facts, told = describe(key, whole=word is not None), key.help if word is not None else first_sentence(key)
            if console.is_terminal:
                console.print(Text.assemble((key.name, "bold"), "  ", (facts, "cyan")))
                console.print(Padding(Text(told), (0, 0, 0, 4)))
            else:  # a line each, for grep
                console.print(Text(f"{key.name}: {facts}. {told}"))
    if word is None and console.is_terminal:
        console.print(f"{len(found)} keys; `align keys {method} WORD` shows those that speak of it.", style="dim")


def _speaks_of(key: Key, word: str) -> bool:
    return word.lower() in f"{key.name} {key.help}".lower() or key.name == OTHER_WORDS.get(word.lower())


def describe(key: Key, *, whole: bool = True) -> str:
    """Words what a key takes and what holds without it.

    Args:
        key: The key.
        whole: Whether every choice is named, if there are many.
    """
    if key.choices:
        words = key.choice_words
        named = words if whole or len(words) <= FEW else (*words[: FEW - 1], "...")
        takes = f"{'list of ' if _is_list(key.type) else ''}{', '.join(named)}"
    else:
        takes = type_words(key.type)
    takes += f", {key.range}" if key.range else ""
    if key.takes_null and key.type is not Any:
        takes += ", or null" if key.range else " or null"
    if key.is_needed:
        return f"{takes}; needed"
    return f"{takes}; default {'chosen when training begins' if key.is_computed else _value(key.default)}"


def type_words(kind: Any) -> str:
    """Words a type; null is left out.

    Example:
        >>> type_words(list[str] | str), type_words(dict[str, float]), type_words(int | None)
        ('list of str or str', 'block of float', 'int')
    """
    parts = [part for part in typing.get_args(kind) if part is not type(None)]
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(type_words, parts)))
    if origin in (list, tuple):
        return f"list of {'blocks' if _is_block(parts[0]) else type_words(parts[0])}"
    if origin is dict:
        return f"block of {type_words(parts[1])}" if parts[1] is not Any else "block"
    return "block" if _is_block(kind) else WORDS.get(kind) or str(getattr(kind, "__name__", kind))


def _is_block(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def first_sentence(key: Key) -> str:
    """Cuts help after its first sentence."""
    end = re.search(r"(?<!e\.g)(?<!i\.e)[.!?](?=\s+[A-Z`\[(])", key.help)
    return key.help[: end.end()] if end else key.help


def _is_list(kind: Any) -> bool:
    return list in (typing.get_origin(kind), *(typing.get_origin(part) for part in typing.get_args(kind)))


def _value(value: Any) -> str:
    text = value if isinstance(value, str) and value.isprintable() and value else json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _nothing_found(method: str, word: str, keys: Sequence[Key]) -> str:
    """Words that no key speaks of something: whose key it is, or what is near."""
    others = [name for name in METHODS if any(key.name == word for key in keys_of(name))]
    parts = {part: key.name for key in reversed(keys) for part in (*re.split(r"[._]", key.name), key.name)}
    near = dict.fromkeys(parts[part] for part in get_close_matches(word.lower(), parts, n=3, cutoff=0.7))
    if others:
        hint = f" It is a key of {', '.join(others)}."
    else:
        hint = f" Near it are {', '.join(near)}." if near else f" `align keys {method}` lists all."
    return f"No key of {method} has {word!r} in its name or help.{hint}"

"""What recipes may hold, and which are shipped: `align keys`, `align schema`, `align recipes`, and completion."""

import inspect
import json
import re
import types
import typing
from collections.abc import Iterable, Sequence, Set
from difflib import get_close_matches
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel
from rich.markup import escape
from rich.padding import Padding
from rich.text import Text

from align.assets import asset_dir, find_recipe, shipped_recipes
from align.console import make_console, make_table
from align.errors import RecipeError, UserError
from align.methods import METHODS
from align.recipe.keys import Key, keys_of
from align.recipe.recipe import method_of
from align.recipe.unknown_keys import OTHER_WORDS
from align.recipe.yaml_loader import load_yaml
from align.whole_files import write_whole

FEW = 8  # choices that are named where a key is one of many
LONGEST = 60  # characters of a default
WORDS = {bool: "true or false", dict: "block", type(None): "null", Any: "anything"}


def show_keys(method: str, word: str | None) -> None:
    """Prints the keys of a method, or those with a word in name or help; what is named so with all of its help."""
    keys = keys_of(method_of({"method": method}))
    found = [key for key in keys if word is None or word.lower() in key.help.lower() or _is_called(key, word)]
    if not found:
        raise RecipeError(_nothing_found(method, str(word), keys))
    named = [key for key in found if word is not None and _is_called(key, word)]
    console = make_console()
    for place, group in groupby(found, lambda key: key.place):
        console.print(Text(f"# {place}", "dim"))
        for key in group:
            whole = word is not None and (key in named or not named)
            facts, told = describe(key, whole=whole), key.help if whole else first_sentence(key)
            if console.is_terminal:
                console.print(Text.assemble((key.name, "bold"), "  ", (facts, "cyan")))
                console.print(Padding(Text(told), (0, 0, 0, 4)))
            else:  # a line each, for grep
                console.print(Text(f"{key.name}: {facts}. {told}"))
    if word is None and console.is_terminal:
        console.print(f"{len(found)} keys; `align keys {method} WORD` shows those that speak of it.", style="dim")


def _is_called(key: Key, word: str) -> bool:
    return word.lower() in key.name.lower() or key.name == OTHER_WORDS.get(word.lower())


def describe(key: Key, *, whole: bool = True) -> str:
    """Words what a key takes and what holds without it; every choice is named where `whole`, also of many."""
    if key.choices:
        words = key.choice_words
        named = words if whole or len(words) <= FEW else (*words[: FEW - 1], "...")
        kinds = [typing.get_origin(kind) for kind in (key.type, *typing.get_args(key.type))]
        takes = f"{'list of ' if list in kinds else ''}{', '.join(named)}"
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


def key_options(words: Sequence[str], taken: Set[str]) -> list[Any]:
    """Makes options of the keys that the first recipe among the words may hold, but for those that are taken."""
    return _options(key for key in _keys_on(words) if f"--{key.name}" not in taken and key.name != "method")


def _keys_on(words: Sequence[str]) -> tuple[Key, ...]:
    for word in words:
        try:
            method = load_yaml(find_recipe(word)).get("method")
        except UserError:
            continue
        return keys_of(method) if method in METHODS else ()
    return ()


def _options(keys: Iterable[Key]) -> list[Any]:
    """Makes options as typer does, which reads them off a function."""

    def command(**given: str) -> None: ...

    only = inspect.Parameter.KEYWORD_ONLY
    made = [inspect.Parameter(f"key_{i}", only, default="", annotation=_option(key)) for i, key in enumerate(keys)]
    command.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in made}
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return typer.main.get_command(app).params


def _option(key: Key) -> Any:
    values = ("true", "false") if key.type is bool else key.choice_words

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return Annotated[str, typer.Option(f"--{key.name}", help=escape(first_sentence(key)), autocompletion=complete)]


def show_schema(method: str | None, *, write: bool) -> None:
    """Prints the JSON Schema of a method, or writes those that the shipped recipes name."""
    from align.recipe.keys import schema_of

    names = METHODS if method is None else [method_of({"method": method})]
    if not write:
        print(*(json.dumps(schema_of(name), indent=2, ensure_ascii=False) for name in names))
        return
    try:
        for name in names:
            write_whole(schema_path(name), json.dumps(schema_of(name), ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(
            f"{error.filename or schema_path(name)} cannot be written: {error.strerror}. `align schema {name} > "
            f"FILE.json` prints the same schema, and `# yaml-language-server: $schema=FILE.json` as the first line "
            "of a recipe names it."
        ) from error
    print(f"Editors find the keys of the shipped recipes in {schema_path(name).parent}.")


def schema_path(method: str) -> Path:
    """Returns where a shipped recipe of a method has its schema, which `align schema --write` makes."""
    return asset_dir("recipes").parent / ".schemas" / f"{method}.json"


def show_recipes() -> None:
    """Prints name, hardware and purpose of every recipe, from the comments at its top."""
    table = make_table("recipe", "hardware", "purpose")
    for name, path in shipped_recipes().items():
        header = path.read_text(encoding="utf-8")
        facts = {
            key: value.strip() for key, value in re.findall(r"^# (purpose|hardware): (.*)$", header, re.MULTILINE)
        }
        table.add_row(name, facts.get("hardware", ""), facts.get("purpose", ""))
    console = make_console()
    console.print(table)
    console.print(f"Recipes are in {asset_dir('recipes')}, launch files in {asset_dir('ds_configs')}.", style="dim")

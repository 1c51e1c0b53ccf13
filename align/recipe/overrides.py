"""Settings on the command line, which win over the recipe."""

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from align.errors import RecipeError
from align.recipe.problems import shown
from align.recipe.yaml_loader import MAX_DEPTH, parse_word


def parse_overrides(words: Sequence[str], texts: Collection[str] = ()) -> dict[str, Any]:
    """Reads `--key value`, `--key=value`, `--key a b c` (a list) and `--block.key value`, which wins over `--block`.

    Of the keys `texts`, what looks like a number is a text.

    Example:
        >>> parse_overrides(["--learning_rate", "1e-6", "--reward_weights", "1", "0.2", "--dataset.max_rows=10"])
        {'learning_rate': 1e-06, 'reward_weights': [1, 0.2], 'dataset': {'max_rows': 10}}
    """
    overrides: dict[str, Any] = {}
    groups: list[tuple[str, list[str]]] = []
    for word in words:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            groups.append((key, [value] if equals else []))
        elif groups:
            groups[-1][1].append(word)
        else:
            raise RecipeError(f"Expected `--key value` after the recipe, got {shown(word)}.")
    for key, values in sorted(groups, key=lambda group: group[0].count(".")):  # blocks before keys of theirs
        _set(overrides, key, values, texts)
    return overrides


def _set(overrides: dict[str, Any], key: str, values: list[str], texts: Collection[str]) -> None:
    *blocks, leaf = key.split(".")
    if not all([*blocks, leaf]) or len(blocks) >= MAX_DEPTH or not key.isprintable():
        raise RecipeError(
            f"`--` must be followed by the name of a key, as in `--learning_rate 1e-6`; got {shown(key)}."
        )
    if not values:
        raise RecipeError(f"`--{key}` needs a value behind it: `--{key} VALUE`, true or false for a switch.")
    parsed = [_parse(key, value, is_text=key in texts and len(values) == 1) for value in values]
    target = overrides
    for block in blocks:
        if target.get(block) == {}:
            raise RecipeError(f"`--{key}` and `--{block} {{}}` cannot both be given: the second clears the block.")
        target = target.setdefault(block, {})
        if not isinstance(target, dict):
            raise RecipeError(f"`--{key}` and `--{block}` cannot both be given: `{block}` is a value or a block.")
    target |= merge({leaf: target.get(leaf)}, {leaf: parsed[0] if len(parsed) == 1 else parsed})


def _parse(key: str, value: str, *, is_text: bool) -> Any:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RecipeError(f"`--{key}`: {shown(value)} is not UTF-8 text. Set the terminal to UTF-8.") from error
    try:
        parsed = parse_word(value)
        return value if is_text and isinstance(parsed, int | float) and not isinstance(parsed, bool) else parsed
    except RecipeError as error:  # its line number is that of the word
        raise RecipeError(f"`--{key}`: {str(error).partition(': ')[2]}") from error


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lays settings over others, block by block; an empty block clears one."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, Mapping) and value and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def resolve_paths(value: Any, base: Path) -> Any:
    """Makes every string that starts with `./`, `../` or `~/` absolute; other strings may be hub ids and stay."""
    if isinstance(value, Mapping):
        return {key: resolve_paths(item, base) for key, item in value.items()}
    if isinstance(value, list):
        return [resolve_paths(item, base) for item in value]
    if isinstance(value, Path):  # of a call in Python
        return str(value.expanduser().absolute())
    if isinstance(value, str) and value.startswith(("./", "../")):
        return str((base / value).resolve())
    if isinstance(value, str) and value.startswith("~/"):
        return os.path.expanduser(value)
    return value

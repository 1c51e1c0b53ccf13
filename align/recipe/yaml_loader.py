"""YAML as people mean it: `1e-6` is a number, a key twice is an error, nothing runs; and words of a command line."""

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from align.errors import RecipeError, UserError
from align.recipe.problems import shown
from align.secrets import remember_lines

TAGS = ("null", "bool", "int", "float", "str", "seq", "map", "merge")  # YAML 1.2, core schema
LARGEST = 2**63 - 1  # of a number without a fraction, in torch
MAX_BYTES = 1_000_000
MAX_DEPTH = 30
MAX_VALUES = 20_000


class BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader that counts while it reads: values with every alias written out, and nesting."""

    def __init__(self, stream: str) -> None:
        super().__init__(stream)
        self._count = 0  # values read so far
        self._open: list[str | None] = []  # anchors of the values that are being read, outermost first
        self._sizes: dict[str, int] = {}  # values under an anchor

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Reads one value with all that is in it; refuses too many, too deep, or one that holds itself."""
        event = self.peek_event()
        line, anchor = event.start_mark.line + 1, event.anchor
        if isinstance(event, yaml.AliasEvent) and anchor in self._open:
            raise RecipeError(f"Line {line}: `*{anchor}` stands inside `&{anchor}`, so it holds itself. Write it out.")
        if len(self._open) >= MAX_DEPTH:
            raise RecipeError(f"Line {line}: values are nested more than {MAX_DEPTH} deep. Is a bracket not closed?")
        self._count += self._sizes.get(anchor, 1) if isinstance(event, yaml.AliasEvent) else 1
        if self._count > MAX_VALUES:
            raise RecipeError(
                f"Line {line}: there are more than {MAX_VALUES:,} values, counting what aliases such as `*a` repeat. "
                f"Name data by its path."
            )
        self._open.append(None if isinstance(event, yaml.AliasEvent) else anchor)
        before = self._count
        node = super().compose_node(parent, index)
        self._open.pop()
        if anchor is not None and not isinstance(event, yaml.AliasEvent):
            self._sizes[anchor] = self._count - before + 1
        return node


class RecipeLoader(BoundedLoader):
    """A safe loader with YAML 1.2 floats, dates as text, and without silent duplicate keys."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Builds a value and refuses what is not plain, such as `!!binary`, or too large for a number."""
        line = node.start_mark.line + 1
        kind = node.tag.removeprefix("tag:yaml.org,2002:")
        if kind not in TAGS:
            raise RecipeError(
                f"Line {line}: the tag `{_escaped(kind)}` is not valid YAML here. Write the value without it."
            )
        try:
            value = super().construct_object(node, deep)
        except (ValueError, OverflowError, KeyError, IndexError) as error:  # `!!int x`, or a number that overflows
            if isinstance(error, RecipeError):
                raise
            raise RecipeError(f"Line {line}: {_shown(node)} is not a valid {kind}. Put text in quotes.") from error
        if isinstance(value, int) and abs(value) > LARGEST:
            raise RecipeError(f"Line {line}: {_shown(node)} is too large for a number. Put text in quotes.")
        if isinstance(value, str) and (broken := re.search("[\ud800-\udfff\0]", value)):
            raise RecipeError(f"Line {line}: the text holds {broken[0]!r}, which is no character. Remove it.")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping and refuses a key that is written twice, or that is no word."""
        if isinstance(node, yaml.MappingNode):
            seen: set[Any] = set()
            for name in (each for each, _ in node.value if each.tag != "tag:yaml.org,2002:merge"):
                line = name.start_mark.line + 1
                if not isinstance(name, yaml.ScalarNode):
                    raise RecipeError(f"Line {line}: a key must be a word. Put text with braces in quotes.")
                key = self.construct_object(name, deep=True)
                if not isinstance(key, str | int) or isinstance(key, bool):
                    raise RecipeError(f"Line {line}: the key {_shown(name)} is read as {key!r}. Put a word in quotes.")
                if isinstance(key, str) and not key.isprintable():
                    raise RecipeError(
                        f"Line {line}: the key {key!r} holds a character that cannot be seen. Remove it."
                    )
                if key in seen:
                    raise RecipeError(f"Line {line}: the key `{key}` is written twice. Keep one.")
                seen.add(key)
        return super().construct_mapping(node, deep=deep)


def _shown(node: yaml.Node) -> str:
    text = str(node.value)
    return (
        f"`{_escaped(text)}`" if len(text) <= 60 else f"`{_escaped(text[:40])}` and {len(text) - 40:,} more characters"
    )


def _escaped(text: str) -> str:
    """Writes what would move the cursor of a terminal, or hide, as Python does."""
    return text if text.isprintable() else repr(text)[1:-1]


# No key of a recipe is a date: `run_name: 2026-02-30` is a name. `=` is YAML 1.1's default value, and here a text.
RecipeLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":timestamp", ":value", ":int"))]
    for first, resolvers in BoundedLoader.yaml_implicit_resolvers.items()
}
# YAML 1.1 reads 1:30 as 90 and 010 as 8; here the first is text, and so is the second, which a setting reads as 10.
RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?(?:0|[1-9][0-9_]*|0b[01_]+|0x[0-9a-fA-F_]+)$"), list("-+0123456789")
)


class RecipeDumper(yaml.SafeDumper):
    """A dumper that quotes the texts which PyYAML writes plainly and `RecipeLoader` reads as something else."""

    def represent_str(self, data: str) -> yaml.ScalarNode:
        """Escapes the ends of lines that are folded into a space when they are read."""
        style = '"' if re.search("[\x85\u2028\u2029]", data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style)


RecipeDumper.add_representer(str, RecipeDumper.represent_str)
# YAML 1.1 wants a dot in the mantissa, so PyYAML reads 1e-6 as a string, and writes such a string without quotes.
for each in (RecipeLoader, RecipeDumper):
    each.add_implicit_resolver(  # type: ignore[no-untyped-call]
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
    )


def load_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping; raises `RecipeError` if it is missing or something else."""
    text = _read(path)
    remember_lines(text)
    try:
        content = parse_yaml(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML. {_yaml_problem(error, text)}") from error
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    if content is None:
        raise RecipeError(f"{path} is empty; it must hold `key: value` lines.")
    if not isinstance(content, dict):
        raise RecipeError(f"{path} must hold `key: value` lines, got {type(content).__name__}.")
    return content


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise RecipeError(f"Cannot read {path}: {getattr(error, 'strerror', None) or error}.") from error
    if len(content) > MAX_BYTES:
        raise RecipeError(f"{path} is larger than {MAX_BYTES:,} bytes, so it is no recipe. Is it the data?")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise RecipeError(f"{path} is not UTF-8 text (line {line}). Save it as UTF-8.") from error


def _yaml_problem(error: yaml.YAMLError, text: str) -> str:
    """Words PyYAML's message, which spans several lines, as one sentence."""
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        return f"Line {line}: {chr(error.character)!r} is no character of a text. Remove it."
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    place = f"Line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    parts = [part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part]
    words = " ".join(" ".join(parts or [str(error)]).split())
    tab = " Indent with spaces." if "\\t" in words else ""
    return f"{place}{words}.{tab}"


def parse_yaml(text: str) -> Any:
    """Parses one YAML document or scalar.

    Example:
        >>> parse_yaml("[1e-6, 0.2, yes, text]")
        [1e-06, 0.2, True, 'text']
    """
    return yaml.load(text, Loader=RecipeLoader)


def parse_word(text: str) -> Any:
    r"""Parses a value given as one word; what is not YAML is text, and so is the place of a column in a template.

    A text is kept as it was given, with its lines and what looks like a comment, unless it begins with a quote or
    another mark by which YAML writes texts.

    Example:
        >>> parse_word("1e-6"), parse_word("{question} {options}"), parse_word("{question}"), parse_word("{}")
        (1e-06, '{question} {options}', '{question}', {})
        >>> parse_word("Be brief # always"), parse_word("'1e-6'"), parse_word("[Be brief, # a list\n1]")
        ('Be brief # always', '1e-6', ['Be brief', 1])
        >>> parse_word("Answer as: A"), parse_word("{answer: A}"), parse_word("- first")
        ('Answer as: A', {'answer': 'A'}, '- first')
    """
    first = text.lstrip()[:1]
    if re.fullmatch(r"\{\w+\}", text):  # YAML reads a block whose one key has no value, which no key of a recipe takes
        return text
    try:
        value = parse_yaml(text)
    except yaml.YAMLError:
        return text
    if isinstance(value, Mapping | list) and first not in set("{[&!|>"):
        return text  # "Question: {question}" and "- think first" are sentences; a block is written with braces
    is_text = first not in set("'\"|>!&") if isinstance(value, str) else value is None and first == "#"
    return text if is_text else value


def dump_yaml(value: Any) -> str:
    """Writes plain values so that `parse_yaml` reads the same ones.

    Example:
        >>> print(dump_yaml({"lr": 1e-6, "run_name": "1e-6"}), end="")
        lr: 1.0e-06
        run_name: '1e-6'
    """
    return str(yaml.dump(value, Dumper=RecipeDumper, sort_keys=False, allow_unicode=True))


def read_yaml_option(option: str, text: str, example: str) -> dict[str, Any]:
    """Reads an option whose value is a block, as in `--reward_kwargs '{max_length: 200}'`; nothing is an empty one."""
    try:
        content: Any = parse_yaml(text) if text.strip() else {}
    except (yaml.YAMLError, RecipeError) as error:
        reason = str(getattr(error, "problem", None) or error).rstrip(".")
        raise UserError(f"`{option}` is not valid YAML: {reason}. Write a block such as '{example}'.") from error
    if not isinstance(content, dict):
        raise UserError(f"`{option}` must be a block such as '{example}', got {text!r}.")
    return content


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

"""YAML as people mean it: `1e-6` is a number, a key written twice is an error, and nothing is executed."""

import re
from pathlib import Path
from typing import Any

import yaml

from align.errors import RecipeError


class RecipeLoader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2 floats and without silent duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Builds a mapping and refuses a key that is written twice."""
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise RecipeError(
                    f"Line {key_node.start_mark.line + 1}: a key must be a word. Put text with braces in quotes."
                )
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise RecipeError(f"Line {key_node.start_mark.line + 1}: the key `{key}` is written twice. Keep one.")
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


# YAML 1.1 wants a dot in the mantissa, so PyYAML reads 1e-6 as a string.
RecipeLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def load_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds a mapping.

    Raises:
        RecipeError: If the file is missing, is not YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(f"Cannot read {path}: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecipeError(f"{path} is not UTF-8 text (byte {error.start}). Save it as UTF-8.") from error
    try:
        content = parse_yaml(text)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except yaml.YAMLError as error:
        raise RecipeError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError(f"{path} must hold `key: value` lines, got {type(content).__name__}.")
    return content


def parse_yaml(text: str) -> Any:
    """Parses one YAML document or scalar.

    Example:
        >>> parse_yaml("[1e-6, 0.2, yes, text]")
        [1e-06, 0.2, True, 'text']
    """
    return yaml.load(text, Loader=RecipeLoader)


def parse_word(text: str) -> Any:
    """Parses a value given as one word; what is not YAML is text.

    Example:
        >>> parse_word("1e-6"), parse_word("{question} {options}")
        (1e-06, '{question} {options}')
    """
    try:
        return parse_yaml(text)
    except yaml.YAMLError:
        return text

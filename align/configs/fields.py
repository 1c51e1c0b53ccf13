"""The fields of a trainer's config, read from its source: importing TRL takes seconds, and a typo should not."""

import ast
import importlib.util
import typing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from align.configs.methods import METHODS


class ConfigField(NamedTuple):
    """One field of a config dataclass."""

    name: str
    type: Any  # pydantic can validate it
    default: Any  # None where the source computes it


@cache
def config_fields(method: str) -> dict[str, ConfigField]:
    """Lists the fields of a method's config by name, without importing torch."""
    fields: dict[str, ConfigField] = {}
    for package, file, class_name in reversed(METHODS[method].config_chain):
        fields |= _class_fields(_package_dir(package) / file, class_name)
    return fields


def validate_field(field: ConfigField, value: Any) -> Any:
    """Converts a value to a field's type: numbers written as strings become numbers, one text a list of texts.

    Raises:
        pydantic.ValidationError: If the value does not fit.
    """
    if field.type == list[str] and isinstance(value, str):
        value = [value]
    return TypeAdapter(field.type).validate_python(value, strict=isinstance(value, bool))


def _package_dir(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"The package `{package}` is not installed. Run `pip install truealign`.")
    return Path(next(iter(spec.submodule_search_locations)))


def _class_fields(path: Path, class_name: str) -> dict[str, ConfigField]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    body = next(node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name)
    fields = {}
    for node in body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            fields[name] = ConfigField(name, _as_type(node.annotation), _default(node.value))
    return fields


class _TypeNames(dict[str, Any]):
    """Names an annotation may use; enums of transformers are written as strings in YAML."""

    def __missing__(self, name: str) -> Any:
        return getattr(typing, name, str)


def _as_type(annotation: ast.expr) -> Any:
    source = ast.unparse(annotation)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        source = annotation.value
    builtins = {t.__name__: t for t in (bool, int, float, str, list, dict, tuple)}
    return eval(source, {"__builtins__": {}}, _TypeNames(builtins))


def _default(value: ast.expr | None) -> Any:
    if isinstance(value, ast.Call):  # field(default=..., metadata=...) or field(default_factory=lambda: ..., ...)
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        value = given.get("default", factory.body if isinstance(factory, ast.Lambda) else None)
    try:
        return ast.literal_eval(value) if value is not None else None
    except ValueError:
        return None

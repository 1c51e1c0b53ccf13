"""What functions and classes of the libraries take, read from their source: importing them takes seconds."""

import ast
import importlib.util
import typing
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from rewards.extras import absent

Source = tuple[str, str]  # a package, and a file in it


class Parameter(NamedTuple):
    """One parameter of a function, or one field of a class."""

    type: Any  # pydantic can validate it
    needed: bool = False  # has no default


class _TypeNames(dict[str, Any]):
    """Names an annotation may use; enums of transformers are written as strings in YAML."""

    def __missing__(self, name: str) -> Any:
        return getattr(typing, name, str)


@cache
def source_tree(source: Source) -> ast.Module:
    """Parses a file of an installed package, without importing it; raises `ModuleNotFoundError` if that is missing."""
    package, file = source
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(absent("train", "Reading a recipe"), name=package)
    path = Path(next(iter(spec.submodule_search_locations))) / file
    return ast.parse(path.read_text(encoding="utf-8"))


def as_type(annotation: ast.expr | None) -> Any:
    """Turns an annotation into a type that pydantic can validate; classes of the libraries become text."""
    if annotation is None:
        return Any
    source = ast.unparse(annotation)
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        source = annotation.value
    builtins = {t.__name__: t for t in (bool, int, float, str, list, dict, tuple)}
    try:
        return eval(source, {"__builtins__": {}}, _TypeNames(builtins))
    except (TypeError, AttributeError):  # `torch.device` or `Annotated[...]`: nothing that YAML has a type for
        return Any


def find_definition(source: Source, name: str) -> Any:
    """Finds a class, function or `Class.method` of a file; raises `LookupError` if the library has it no more."""
    node: Any = source_tree(source)
    for part in name.split("."):
        node = next((child for child in node.body if getattr(child, "name", None) == part), None)
        if node is None:
            raise LookupError(f"{'/'.join(source)} defines no {name}; update align/recipe/blocks.py.")
    return node


@cache
def parameters(source: Source, name: str) -> dict[str, Parameter]:
    """Lists the parameters of a function by name, without `*args` and `**kwargs`."""
    arguments = find_definition(source, name).args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    pairs = [*zip(positional, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    return {argument.arg: Parameter(as_type(argument.annotation), default is None) for argument, default in pairs}


@cache
def class_fields(source: Source, name: str) -> dict[str, Parameter]:
    """Lists the annotated fields of a class by name."""
    return {
        node.target.id: Parameter(as_type(node.annotation))
        for node in find_definition(source, name).body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


@cache
def keys_read(source: Source, name: str, holder: str) -> frozenset[str]:
    """Lists the keys that a class or function reads from a dictionary, as in `kwargs.pop("top_p", None)`."""
    found: set[str] = set()
    for node in ast.walk(find_definition(source, name)):
        keys: list[ast.expr] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and _is_called(node.func.value, holder):
            keys = node.args[:1] if node.func.attr in ("pop", "get", "setdefault") else []
        elif isinstance(node, ast.Subscript) and _is_called(node.value, holder):
            keys = [node.slice]
        elif isinstance(node, ast.Compare) and _is_called(node.comparators[0], holder):
            keys = [node.left]
        elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):  # for key in ("momentum", "alpha"): ...
            keys = node.iter.elts
        found |= {key.value for key in keys if isinstance(key, ast.Constant) and isinstance(key.value, str)}
    return frozenset(found)


def _is_called(node: ast.expr, name: str) -> bool:
    return getattr(node, "attr", getattr(node, "id", None)) == name


@cache
def assigned(source: Source, name: str) -> Any:
    """Finds the expression that a module gives a name; raises `LookupError` if it gives it none."""
    for node in source_tree(source).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return node.value  # type: ignore[attr-defined]
    raise LookupError(f"{'/'.join(source)} sets no {name}; update align/recipe/blocks.py.")


@cache
def functions_by_member(source: Source, name: str) -> dict[str, str]:
    """Reads a table `{Enum.MEMBER: function, **dict.fromkeys(MEMBERS, function)}` as member to name of function."""
    table = assigned(source, name)
    found: dict[str, str] = {}
    for key, value in zip(table.keys, table.values, strict=True):
        if key is None:
            members, function = value.args
            found |= {member.attr: function.id for member in assigned(source, members.id).elts}
        else:
            found[key.attr] = value.id
    return found


@cache
def enum_members(source: Source, name: str) -> dict[str, str]:
    """Reads an enum as value to member."""
    found = {}
    for node in find_definition(source, name).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            found[str(node.value.value)] = node.targets[0].id
    return found

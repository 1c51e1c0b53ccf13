"""What configs and functions of the libraries take, read from their source: importing TRL takes seconds."""

import ast
import importlib.util
import typing
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    create_model,
)
from pydantic_core import PydanticCustomError

from align.methods import METHODS
from align.recipe.problems import SAID
from align.recipe.rules import boolean_name, check_choice, check_null, check_range
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
def source_text(source: Source) -> str:
    """Reads a file of an installed package, without importing it; raises `ModuleNotFoundError` if that is missing."""
    package, file = source
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(absent("train", "Reading a recipe"), name=package)
    path = Path(next(iter(spec.submodule_search_locations))) / file
    return path.read_text(encoding="utf-8")


@cache
def source_tree(source: Source) -> ast.Module:
    """Parses a file of an installed package."""
    return ast.parse(source_text(source))


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
            raise LookupError(f"{'/'.join(source)} defines no {name}; update align/recipe/combinations.py.")
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
    raise LookupError(f"{'/'.join(source)} sets no {name}; update align/recipe/combinations.py.")


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


# Where a recipe is silent, in place of the defaults of TRL and transformers.
OUR_DEFAULTS: dict[str, Any] = {"log_completions": True, "num_completions_to_print": 0}
OUR_FOLDER = "outputs/{method}-{name}"
ENUMS = "trainer_utils.py"  # of transformers
PARENTS = ("trl", "transformers")  # packages of the classes that configs of methods build on


class ConfigField(NamedTuple):
    """One field of a config dataclass."""

    name: str
    type: Any  # pydantic can validate it
    default: Any  # None where the source computes it
    choices: tuple[str, ...] = ()  # of its metadata
    help: str = ""  # of its metadata
    owner: tuple[str, str] = ("", "")  # package and name of the class whose field it is
    is_computed: bool = False  # the source has no written default


def config_fields(method: str, *, with_parents: bool = True) -> dict[str, ConfigField]:
    """Lists the fields of a method's config by name, without importing torch."""
    return chain_fields(METHODS[method].config_chain, with_parents=with_parents)


def own_fields(chain: tuple[tuple[str, str, str], ...]) -> list[str]:
    """Lists the settings that a config adds to those of TRL and transformers."""
    return list(chain_fields(chain, with_parents=False))


@cache
def chain_fields(chain: tuple[tuple[str, str, str], ...], *, with_parents: bool = True) -> dict[str, ConfigField]:
    """Lists the fields of classes that build on each other, nearest first, by name."""
    fields: dict[str, ConfigField] = {}
    for package, file, class_name in reversed(chain):
        if with_parents or package not in PARENTS:
            fields |= _class_fields((package, file), class_name)
    return fields


@cache
def settings_class(method: str, *, with_parents: bool = True) -> type[BaseModel]:
    """Makes the class of a method's training settings: the fields of its config, with their defaults and rules."""
    made: dict[str, Any] = {}
    for name, each in config_fields(method, with_parents=with_parents).items():
        rule = WrapValidator(partial(_checked, method, each))
        made[name] = Annotated[each.type, rule], Field(OUR_DEFAULTS.get(name, each.default), description=each.help)
    return create_model(f"settings of {method}", __config__=ConfigDict(protected_namespaces=(), frozen=True), **made)


def _checked(method: str, field: ConfigField, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
    """Checks a setting, and converts it: numbers written as strings become numbers, one text a list of texts."""
    value = boolean_name(field.name, value)
    try:
        check_choice(method, field.name, value, field.choices)
        if value is None:
            check_null(field.name)
        value = validate([value] if field.type == list[str] and isinstance(value, str) else value)
        check_range(method, field.name, value)
    except ValidationError:
        raise
    except ValueError as error:
        raise PydanticCustomError(SAID, "{sentence}", {"sentence": str(error)}) from error
    return value


def _class_fields(source: Source, class_name: str) -> dict[str, ConfigField]:
    fields = {}
    for node in find_definition(source, class_name).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, kind, facts = node.target.id, as_type(node.annotation), _metadata(node.value)
            if facts.get("const") is True:  # `fsdp` is annotated as text, and also a switch
                kind = bool | kind
            choices = tuple(facts.get("choices", ())) or _members(source, node.annotation)
            told = " ".join(str(facts.get("help", "")).split())
            default, is_computed = _default(node.value)
            owner, told = (source[0], class_name), told.replace("%%", "%")  # as argparse wants it written
            fields[name] = ConfigField(name, kind, default, choices, told, owner, is_computed)
    return fields


def _members(source: Source, annotation: ast.expr) -> tuple[str, ...]:
    """Lists the values of the enum in an annotation such as `SchedulerType | str`; none where there is no enum."""
    named = {each.id for each in ast.walk(annotation) if isinstance(each, ast.Name)}
    for file in (source, (source[0], ENUMS)) if source[0] == "transformers" else ():
        for node in source_tree(file).body:
            if isinstance(node, ast.ClassDef) and node.name in named:
                return tuple(enum_members(file, node.name))
    return ()


def _metadata(value: ast.expr | None) -> dict[str, Any]:
    """Reads what is written out in `field(metadata={"choices": [...]})`."""
    metadata = next((item.value for item in getattr(value, "keywords", []) if item.arg == "metadata"), None)
    found = {}
    if isinstance(metadata, ast.Dict):
        for key, item in zip(metadata.keys, metadata.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(item, ast.List | ast.Constant):
                found[str(key.value)] = ast.literal_eval(item)
    return found


def _default(value: ast.expr | None) -> tuple[Any, bool]:
    """Reads a default, and says whether there is one that is computed."""
    if isinstance(value, ast.Call):  # field(default=..., metadata=...) or field(default_factory=lambda: ..., ...)
        given = {keyword.arg: keyword.value for keyword in value.keywords}
        factory = given.get("default_factory")
        if isinstance(factory, ast.Name) and factory.id in ("list", "dict"):
            return {"list": [], "dict": {}}[factory.id], False
        value = given.get("default", factory.body if isinstance(factory, ast.Lambda) else None)
    try:
        return (ast.literal_eval(value) if value is not None else None), False
    except ValueError:
        return None, True

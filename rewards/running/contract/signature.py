import ast
import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import BuiltinFunctionType, CellType, CodeType, FunctionType
from typing import Any, NamedTuple

from rewards.running.contract.problem import RewardProblem
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS

# Names that people write for TRL's, too far from them for `difflib`.
ALSO_MEANT = {"prompt": "prompts", "completion": "completions", "response": "completions", "responses": "completions"}

MOST_LITERALS, LONGEST_LITERAL = 200, 200
SECRET = re.compile(r"^(?=\S*\d)(?=\S*[A-Za-z])[\w\-.]{20,}$")  # keys are in no report


class Parameters(NamedTuple):
    """The parameters of a reward that TRL can fill."""

    required: tuple[str, ...]  # without a default
    optional: tuple[str, ...]  # with one
    takes_more: bool  # whether it has `**kwargs`
    positional_only: tuple[str, ...]  # before a `/`, without a default
    settings: tuple[str, ...] = ()  # whose default is a number or a text: chosen, and no column of the data
    asked_for: tuple[str, ...] = ()  # that it takes from its `**kwargs`, by `get`, `pop` or `in`
    demanded: tuple[str, ...] = ()  # and by brackets, which fails where there are none

    @property
    def read(self) -> list[str]:
        """All that it may read of the data, named or taken from its `**kwargs`."""
        return [*self.columns, *self.asked_for, *self.demanded]

    @property
    def columns(self) -> list[str]:
        """The columns of the data it names."""
        return [name for name in self.required + self.optional if name not in (*CALL_ARGUMENTS, *TRAINER_ARGUMENTS)]


def read_parameters(func: Callable[..., Any]) -> Parameters:
    """Reads the parameters of a reward."""
    asked = list(_asked_for(func))
    parameters = list(inspect.signature(func).parameters.values())
    keywords = [each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
    return Parameters(
        required=tuple(each.name for each in keywords if each.default is each.empty),
        optional=tuple(each.name for each in keywords if each.default is not each.empty),
        takes_more=any(each.kind is each.VAR_KEYWORD for each in parameters),
        positional_only=tuple(
            each.name for each in parameters if each.kind is each.POSITIONAL_ONLY and each.default is each.empty
        ),
        settings=tuple(each.name for each in keywords if _is_setting(each.default)),
        asked_for=tuple(dict.fromkeys(name for name, is_demanded in asked if not is_demanded)),
        demanded=tuple(dict.fromkeys(name for name, is_demanded in asked if is_demanded)),
    )


def _asked_for(func: Any) -> Iterator[tuple[str, bool]]:
    """Reads in the source of a reward which names it looks for in its `**kwargs`, and whether it needs them.

    None where there is no source.
    """
    while isinstance(func, functools.partial) or "_func" in getattr(func, "__dict__", ()):
        func = func.func if isinstance(func, functools.partial) else func._func
    try:
        code = func if inspect.isroutine(func) else type(func).__call__
        tree = ast.parse(textwrap.dedent(inspect.getsource(code))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return
    given = tree.args.kwarg if isinstance(tree, ast.FunctionDef | ast.AsyncFunctionDef) else None
    for node in ast.walk(tree) if given else ():
        name = holder = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("get", "pop"):
            holder, name = node.func.value, next(iter(node.args), None)
        elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.In | ast.NotIn):
            holder, name = node.comparators[0], node.left
        elif isinstance(node, ast.Subscript):
            holder, name = node.value, node.slice
        if isinstance(holder, ast.Name) and given and holder.id == given.arg and isinstance(name, ast.Constant):
            yield str(name.value), isinstance(node, ast.Subscript)


def read_literals(func: Any) -> tuple[str | float, ...]:
    """Lists the texts and numbers in the code of a reward, and in what it names of its module, as they come."""
    found: dict[str | float, None] = {}
    seen: list[Any] = []

    def visit(value: Any, room: Mapping[str, Any]) -> None:
        if isinstance(value, str | int | float):
            is_kept = (
                0 < len(value) <= LONGEST_LITERAL and not SECRET.search(value) if isinstance(value, str) else True
            )
            if is_kept and not isinstance(value, bool):
                found.setdefault(value)
        elif len(found) > MOST_LITERALS or any(value is each for each in seen):
            return
        elif isinstance(value, re.Pattern):
            visit(value.pattern, room)
        elif isinstance(value, tuple | list | set | frozenset | Mapping):
            each_of = sorted(value, key=str) if isinstance(value, set | frozenset) else value
            for each in each_of:
                visit(each, room)
            for each in value.values() if isinstance(value, Mapping) else ():
                visit(each, room)
        elif isinstance(value, CodeType | functools.partial | FunctionType) or (
            callable(value) and not isinstance(value, type | BuiltinFunctionType)
        ):
            seen.append(value)
            for each, own in _inside(value, room):
                visit(each, own)

    def _inside(value: Any, room: Mapping[str, Any]) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        if isinstance(value, CodeType):
            yield value.co_consts, room
            named = [room.get(name) for name in value.co_names]
            own = room.get("__name__")
            yield [x for x in named if not inspect.isroutine(x) or getattr(x, "__module__", None) == own], room
        elif isinstance(value, functools.partial):
            yield (value.func, *value.args, *value.keywords.values()), room
        elif isinstance(value, FunctionType):
            inside = [cell.cell_contents for cell in value.__closure__ or () if cell != CellType()]
            yield (value.__code__, *inside), value.__globals__
            found.pop(value.__doc__ or "", None)
        elif "_func" in (given := getattr(value, "__dict__", {})):
            yield given["_func"], room
        else:
            yield (type(value).__call__, *given.values()), room

    visit(func, {})
    return tuple(found)


def _is_setting(default: Any) -> bool:
    """Tells a value that was chosen, such as 40, from what stands for a column that is not there: None, "" and ()."""
    return isinstance(default, int | float) or (isinstance(default, str) and default != "")


def check_signature(name: str, parameters: Parameters, arguments: Sequence[str]) -> list[RewardProblem]:
    """Says which arguments a reward does not take, and which of its parameters nothing fills."""
    problems = []
    known = {*parameters.required, *parameters.optional}
    unexpected = [key for key in arguments if key not in known]
    if unexpected and not parameters.takes_more:
        problems.append(RewardProblem.of(name, "signature", names=", ".join(f"`{key}`" for key in unexpected)))
    problems += [missing_column(name, key, arguments) for key in parameters.required if key not in arguments]
    if parameters.positional_only:
        problems.append(RewardProblem.of(name, "signature/positional"))
    return problems


def absent_column(reward: str, column: str, arguments: Sequence[str]) -> RewardProblem:
    """Words the remark on a column that a reward does without where the data lacks it."""
    remedy = missing_column(reward, column, arguments).remedy
    return RewardProblem.of(reward, "absent_column", column=column, remedy=remedy)


def missing_column(reward: str, column: str, arguments: Sequence[str]) -> RewardProblem:
    """Words the problem of a column that the data lacks, with the name that may be meant."""
    meant = ALSO_MEANT.get(column)
    own = [name for name in arguments if name not in (*CALL_ARGUMENTS, *TRAINER_ARGUMENTS)]
    near = [meant] if meant in arguments else get_close_matches(column, own, n=1)
    near = near or get_close_matches(column, list(arguments), n=1, cutoff=0.8)
    hint = f"Did you mean `{near[0]}`? " if near else ""
    return RewardProblem.of(reward, "missing_column", column=column, hint=hint, names=", ".join(arguments))

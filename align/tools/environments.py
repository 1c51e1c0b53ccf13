"""Environments of others, `verifiers:NAME?key=value`: their rows, tools and rewards, asked in processes of their own.

Their code is loaded there alone: this process knows their tools by schema, and their rewards by name.
"""

import inspect
import json
import math
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Union

from align.tools.described import ENTRY, Described, Scores
from align.tools.guarded import SECONDS_TO_LOAD, GuardedEnvironment, Limits, ToolError, ToolProcess, guarded_method
from align.tools.hosted import DESCRIBE, IS_OVER, PREFIX, ROWS, SCORE, Hosted, Refused
from align.tools.named import OWN_OF_ENVIRONMENT
from align.tools.served import Call
from rewards.extras import missing
from rewards.running.workers import WorkerPool

OTHERS = {
    "openreward:": "OpenReward runs environments on servers of its own, which `openreward` reaches over a network",
    "harbor:": "Harbor runs each task in a container, for which `harbor` needs Docker and Python 3.12 or newer",
}
SPLITS = ("train", "eval")
PAGE = 200  # rows that are asked for at once
AT_ONCE = 8  # environments that score at the same time
_described: dict[str, Described] = {}


def is_environment(text: str) -> bool:
    """Tells whether a text names an environment of others."""
    return text.startswith((PREFIX, *OTHERS))


def check_name(text: str) -> None:
    """Raises `ValueError` for what names no environment that can be run."""
    other = next((prefix for prefix in OTHERS if text.startswith(prefix)), None)
    if other is not None:
        raise ValueError(f"{text!r} cannot be run here: {OTHERS[other]}. Environments of `verifiers` can.")
    if not text.startswith(PREFIX) or not text.removeprefix(PREFIX).partition("?")[0]:
        written = f"{PREFIX}NAME, {PREFIX}NAME?key=value or ./file.py:Class"
        raise ValueError(f"`environment` must be written {written}; got {text!r}.")
    Hosted(text)


def source_of(spec: str) -> str:
    """Reads the first file of an environment's package; empty where there is none."""
    name = Hosted(spec).name.rpartition("/")[2].partition("@")[0].replace("-", "_")
    with suppress(ModuleNotFoundError, ValueError, OSError):
        found = find_spec(name)
        if found is not None and found.origin is not None:
            return Path(found.origin).read_text("utf-8", errors="replace")
    return ""


def describe(spec: str, limits: Limits, process: ToolProcess | None = None) -> Described:
    """Asks once for the tools and rewards of an environment; raises `ValueError` with what is missing."""
    if spec not in _described:
        asking = process or _process(spec, limits)
        try:
            _described[spec] = asked(spec, asking, DESCRIBE)
        finally:
            if process is None:
                asking.close()
    return _described[spec]


def rows_of(spec: str, split: str | None = None) -> Iterator[dict[str, Any]]:
    """Yields the rows of an environment; raises `ValueError` if it cannot give them.

    Of verifiers 0.4, which knows no splits, one task of ten is of `eval`, and those without a split are all of them.
    """
    check_name(spec)
    if split not in (None, *SPLITS):
        raise ValueError(f"{spec} has no split {split!r}. It has: {', '.join(SPLITS)}. Set `split`.")
    process, start, has_more = _process(spec, Limits(SECONDS_TO_LOAD)), 0, True
    try:
        while has_more:
            page = asked(spec, process, ROWS, {"split": split, "start": start, "count": PAGE})
            yield from page.rows
            start, has_more = start + PAGE, page.has_more
    finally:
        process.close()


def _process(spec: str, limits: Limits) -> ToolProcess:
    if sentence := missing("verifiers", f"`{spec}`"):
        raise ValueError(sentence)
    return ToolProcess(Hosted(spec), limits)


def asked(spec: str, process: ToolProcess, question: str, arguments: Mapping[str, Any] | None = None) -> Any:
    """Asks a process of an environment; raises `ValueError` if it gives no answer."""
    try:
        answer = process.ask("", arguments, question)
    except ToolError as error:
        raise ValueError(f"`{spec}` cannot be used: {error}. Look at what its package does.") from error
    if isinstance(answer, Refused):
        raise ValueError(f"`{spec}` {answer.why}")
    return answer


class HostedEnvironment(GuardedEnvironment):
    """Stands for a rollout in an environment of others; each environment has a subclass, with its tools."""

    _guard_serve = Hosted

    def _guard_pay(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Scores a finished rollout by the rubric; None for all where that fails."""
        return scores_by_name(self._guard_rewards, _by_environment(self, messages))

    def _guard_ends(self, messages: Sequence[Mapping[str, Any]]) -> bool:
        """Asks whether the rollout is over, before the policy writes again; a question that fails costs the row."""
        if self._guard_stops and not self._guard_lost:
            try:
                self._guard_over = bool(self._guard_ask("", {"messages": messages}, IS_OVER))
            except ToolError as error:
                self._guard_lost = f"@stop: {error}"
        return self._guard_over

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as its name: what rewards in workers would read of it is in another process."""
        return str, (self._guard_spec,)


def host_environment(spec: str, limits: Limits) -> type[HostedEnvironment]:
    """Makes a class whose methods are the tools of an environment, and whose instances are processes of their own."""
    described = describe(spec, limits)
    tools = [tool_of(schema) for schema in described.tools]
    own = {"_guard_spec": spec, "_guard_limits": limits, "__doc__": f"Rollouts of {spec}."}
    own |= {"_guard_rewards": tuple(dict(described.rewards)), "_guard_stops": described.stops}
    return type("Hosted", (HostedEnvironment,), own | {tool.__name__: guarded_method(tool) for tool in tools})


_TYPES: dict[str, Any] = {
    "string": str, "integer": int, "number": float, "boolean": bool, "object": dict, "null": type(None),
}  # fmt: skip
_SECTIONS = re.compile(r"\n\s*(?:Args|Arguments|Parameters|Returns?|Raises|Yields|Examples?|Notes?)\s*:?\s*\n")
_ARGUMENT = r"^\s*{}\s*(?:\([^)]*\))?\s*:\s*(\S.*)$"


def tool_of(schema: Mapping[str, Any]) -> Callable[..., Any]:
    """Makes a function of which TRL makes the schema again: it takes functions, and reads signature and docstring.

    Raises `ValueError` if the name is none that a method can have.

    Example:
        >>> tool = tool_of({"name": "look", "parameters": {"properties": {"item": {"type": "string"}}}})
        >>> str(inspect.signature(tool))
        '(self, *, item: str = None)'
    """
    name, text = str(schema["name"]), str(schema.get("description") or "")
    if name in OWN_OF_ENVIRONMENT or name.startswith("_") or hasattr(GuardedEnvironment, name):
        raise ValueError(f"A tool of the environment is called {name!r}, which TRL does not take for a tool.")

    def tool(self: Any, **arguments: Any) -> Any:
        """Is called in another process."""

    parameters = schema.get("parameters") or {}
    needed, lines, taken = parameters.get("required") or (), [], []
    for argument, about in (parameters.get("properties") or {}).items():
        found = re.search(_ARGUMENT.format(re.escape(argument)), text, re.MULTILINE)
        meaning = about.get("description") or (found[1] if found else about.get("title") or argument)
        lines.append(f"    {argument}: {' '.join(str(meaning).split())}")
        default = inspect.Parameter.empty if argument in needed else about.get("default")
        kind = {"default": default, "annotation": _type_of(about)}
        taken.append(inspect.Parameter(argument, inspect.Parameter.KEYWORD_ONLY, **kind))
    what = " ".join(_SECTIONS.split(f"{text}\n", maxsplit=1)[0].split()) or f"Calls {name}."
    made: Any = tool
    made.__name__ = made.__qualname__ = name
    made.__doc__ = "\n".join([what, *(["", "Args:", *lines] if lines else [])])
    self_ = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    made.__signature__ = inspect.Signature([self_, *taken])
    made.__annotations__ = {each.name: each.annotation for each in taken}
    return tool


def _type_of(schema: Mapping[str, Any]) -> Any:
    """Finds the annotation that gives a schema; what is inside of objects is left to the tool."""
    if schema.get("enum"):
        return Literal[tuple(schema["enum"])]
    if schema.get("anyOf"):
        return Union[tuple(map(_type_of, schema["anyOf"]))]  # noqa: UP007 - its parts are counted here
    if schema.get("type") == "array":
        return list[_type_of(schema["items"])] if schema.get("items") else list  # type: ignore[misc]
    return _TYPES.get(str(schema.get("type")), Any)


class Rubric:
    """Scores finished rollouts, once for all rewards of an environment.

    Environments with tools score in the process of the rollout, others in `workers` processes that share the rows.
    """

    def __init__(self, spec: str, limits: Limits, workers: int = 1) -> None:
        self.spec, self.limits, self.workers = spec, limits, workers
        self._pool: WorkerPool | None = None
        self._kept: Sequence[Any] = ()  # completions by identity, of which `_found` are the scores
        self._found: Sequence[Scores | str] = ()
        self._read: set[str] = set()

    def close(self) -> None:
        """Ends its processes; another score starts others."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    def rewards(self) -> list["RubricReward"]:
        """Makes a reward function of each reward."""
        return [RubricReward(self, name) for name, _ in describe(self.spec, self.limits).rewards]

    def scores(
        self, name: str, completions: Sequence[Any], entries: Sequence[str], environments: Sequence[Any] | None
    ) -> tuple[Sequence[Scores | str], bool]:
        """Returns scores, or why a row has none, and whether they are new: a reward that asks again has them anew."""
        is_new = name in self._read or list(map(id, completions)) != list(map(id, self._kept))
        if is_new:
            self._kept, self._read = list(completions), set()
            if environments is None:
                self._found = self.score(completions, entries)
            else:
                with ThreadPoolExecutor(AT_ONCE) as threads:
                    self._found = list(threads.map(_by_environment, environments, completions))
        self._read.add(name)
        return self._found, is_new

    def score(self, completions: Sequence[Any], entries: Sequence[str]) -> list[Scores | str]:
        """Scores rollouts that no environment has begun; returns scores, or why a row has none."""
        if self._pool is None:
            seconds, memory = self.limits.seconds, self.limits.memory_gb
            self._pool = WorkerPool(Hosted(self.spec), workers=self.workers, timeout=seconds, memory_gb=memory)
        calls = [
            Call("", {ENTRY: entry, "messages": messages}, str(zlib.crc32(json.dumps(messages).encode())), SCORE)
            for messages, entry in zip(completions, entries, strict=True)
        ]
        outcomes = self._pool.map(calls, to_load=SECONDS_TO_LOAD)
        return [outcome.message if outcome.failure else _read(outcome.value) for outcome in outcomes]


def _by_environment(environment: Any, messages: Any) -> Scores | str:
    try:
        return environment._guard_lost or _read(environment._guard_ask("", {"messages": messages}, SCORE))
    except ToolError as error:
        return str(error)


def scores_by_name(names: Sequence[str], found: Scores | str) -> dict[str, float | None]:
    """Writes scores as a dictionary; None for all in place of a reason, and for one that is no finite number."""
    values: Mapping[str, float] = {} if isinstance(found, str) else found.rewards
    return {name: value if math.isfinite(value := values.get(name, math.nan)) else None for name in names}


def _read(answer: Scores | Refused) -> Scores | str:
    return answer.why if isinstance(answer, Refused) else answer


class RubricReward:
    """One reward of an environment, called as TRL calls rewards; a row without one has the reason in its place."""

    def __init__(self, rubric: Rubric, name: str) -> None:
        self.rubric, self.__name__ = rubric, name

    def __call__(
        self,
        completions: Sequence[Any],
        entry: Sequence[str],
        environments: Sequence[Any] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | str]:
        """Returns the rewards of rows, without their weights, and logs metrics once for all rewards."""
        found, is_new = self.rubric.scores(self.__name__, completions, entry, environments)
        if log_metric is not None and is_new:
            for scores in found:
                for name, value in () if isinstance(scores, str) else scores.metrics.items():
                    log_metric(f"environment/{name}", value)
        return [scores if isinstance(scores, str) else scores.rewards[self.__name__] for scores in found]

"""Calls of tools in a completion: each guarded, noted, counted, and written for tables."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from align.secrets import mask
from align.tools.guarded import COSTS_THE_ROW, GuardedEnvironment, ToolProcess

LONGEST_RESULT = 2000  # characters of a result in the table of completions
UNKNOWN = "unknown"  # stands in metrics for every name that no tool has
COLUMN = "tool_calls"
MOST_LEVELS = 50  # of lists and mappings in the arguments of a call: copies and JSON end at some hundreds


class ToolCall(NamedTuple):
    """One call of a tool, by the name that the model wrote."""

    tool: str
    arguments: Mapping[str, Any]
    result: str  # what the model was shown
    seconds: float
    failure: str | None = None  # `error`, `timeout`, `died`, `unknown` (tool), or `skipped` (after one of those)


class RowTools(dict[str, Callable[..., Any]]):
    """The tools of one completion; every call of one is noted, also of a tool that is not there.

    TRL 1.16 asks whether a name is among them, takes the function, and shows the model what it raises. Each call is
    seeded with the seed of the row and its number. `elsewhere` are those that TRL calls itself: coroutines without a
    guard.
    """

    def __init__(self, tools: Mapping[str, Callable[..., Any]], seed: str, elsewhere: Collection[str] = ()) -> None:
        super().__init__(tools)
        self.seed = seed
        self.elsewhere = elsewhere
        self.calls: list[ToolCall] = []
        self.lost = ""  # why the row has no reward

    def __contains__(self, name: object) -> bool:
        return name not in self.elsewhere

    def __getitem__(self, name: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            return self._call(name, arguments)

        return call

    def _call(self, name: str, arguments: Mapping[str, Any]) -> Any:
        started = time.perf_counter()
        try:
            result = self._result(name, arguments)
        except Exception as error:
            failure = getattr(error, "failure", "error")
            if failure in COSTS_THE_ROW:
                self.lost = f"{name}: {error}"
            self._note(name, arguments, {"error": str(error)}, started, failure)
            raise
        self._note(name, arguments, result, started)
        return result

    def _result(self, name: str, arguments: Mapping[str, Any]) -> Any:
        if self.lost:
            raise _Refusal("skipped", f"not called, because of an earlier call ({self.lost})")
        if not super().__contains__(name):
            raise _Refusal(UNKNOWN, f"there is no tool {name!r}; there are {', '.join(self)}")
        tool = super().__getitem__(name)
        if (process := process_of(tool)) is not None:
            process.seed = f"{self.seed}/{len(self.calls)}"
        try:
            return tool(**arguments)
        finally:
            self.lost = lost_by(getattr(tool, "__self__", None))  # with its process, whatever it answered

    def _note(
        self, name: str, arguments: Mapping[str, Any], result: Any, started: float, failure: str | None = None
    ) -> None:
        text = mask(str(result))
        if len(text) > LONGEST_RESULT:
            text = f"{text[:LONGEST_RESULT]} ... ({len(text):,} characters)"
        self.calls.append(ToolCall(name, arguments, text, round(time.perf_counter() - started, 4), failure))


class _Refusal(RuntimeError):
    def __init__(self, failure: str, text: str) -> None:
        super().__init__(text)
        self.failure = failure


def process_of(tool: Any) -> ToolProcess | None:
    """Returns the process that a guarded tool, or the method of a guarded environment, calls."""
    return getattr(getattr(tool, "__self__", None), "_guard_process", getattr(tool, "process", None))


def lost_by(environment: Any) -> str:
    """Says why an environment is lost; empty if it is not, or has no guard."""
    return environment._guard_lost if isinstance(environment, GuardedEnvironment) else ""


def as_column(rows: Iterable[Any]) -> list[str]:
    """Writes the calls of each row as JSON: the columns of a table cannot hold arguments of all kinds."""
    return [json.dumps([call._asdict() for call in row.calls], default=str, ensure_ascii=False) for row in rows]


class RowCounts(NamedTuple):
    """What is told of one row to the other ranks."""

    turns: int  # messages that the model wrote
    lost_by: str  # why it has no reward; empty if it may have one
    calls: list[tuple[str, float, str | None]]  # tool, seconds and failure of each call

    @property
    def lost(self) -> bool:
        """Whether it has no reward."""
        return bool(self.lost_by)


def count_row(row: Any, completion: Any) -> RowCounts:
    """Counts what has `calls` and `lost`; names that are no tool's count as one, since the model may write any."""
    turns = sum(message.get("role") == "assistant" for message in completion)
    calls = [(UNKNOWN if call.failure == UNKNOWN else call.tool, call.seconds, call.failure) for call in row.calls]
    return RowCounts(turns, row.lost, calls)


def call_metrics(rows: Sequence[RowCounts]) -> dict[str, float]:
    """Returns what is logged of the calls of a batch, over all ranks."""
    by_tool: dict[str, list[tuple[float, str | None]]] = defaultdict(list)
    for row in rows:
        for tool, seconds, failure in row.calls:
            by_tool[tool].append((seconds, failure))
    size = max(len(rows), 1)
    metrics = {
        "tools/turns": sum(row.turns for row in rows) / size,
        "tools/used_share": sum(bool(row.calls) for row in rows) / size,
        "tools/lost_share": sum(row.lost for row in rows) / size,
        "tools/seconds": sum(seconds for calls in by_tool.values() for seconds, _ in calls),
    }
    for tool, calls in by_tool.items():
        metrics[f"tools/{tool}/calls"] = len(calls) / size
        metrics[f"tools/{tool}/failure_share"] = sum(failure is not None for _, failure in calls) / len(calls)
        metrics[f"tools/{tool}/seconds_p95"] = float(np.percentile([seconds for seconds, _ in calls], 95))
    return metrics


def ended(completion: Any) -> Any:
    """Ends a completion that was cut off behind a result with an empty answer: rewards read the last message."""
    is_result = isinstance(completion, list) and completion and completion[-1].get("role") == "tool"
    return [*completion, {"role": "assistant", "content": ""}] if is_result else completion


def with_arguments_as_text(completion: Any) -> Any:
    """Copies the messages of a completion, with the arguments of calls as JSON; those that are texts stay."""
    if not isinstance(completion, list):
        return completion
    return [
        message | {"tool_calls": [_as_text(call) for call in message["tool_calls"]]}
        if message.get("tool_calls")
        else message
        for message in completion
    ]


def _as_text(call: Mapping[str, Any]) -> dict[str, Any]:
    function = call.get("function")
    if not isinstance(function, Mapping) or isinstance(function.get("arguments"), str):
        return dict(call)
    arguments = json.dumps(function.get("arguments"), ensure_ascii=False, default=str)
    return {**call, "function": {**function, "arguments": arguments}}


def keep_odd_calls_as_text(tokenizer: Any) -> None:
    """Has calls that no template can show or no copy can hold read as text, as TRL 1.16 reads those that are no JSON.

    A name with half of a character, or a thousand brackets in the arguments, would end the run.
    """
    if not isinstance(tokenizer.parse_response, partial):
        tokenizer.parse_response = partial(_parse_plain, tokenizer.parse_response)


def _parse_plain(parse: Callable[..., Any], *given: Any, **named: Any) -> Any:
    try:
        message = parse(*given, **named)
        calls = message.get("tool_calls") if isinstance(message, Mapping) else None
        json.dumps(calls, ensure_ascii=False, default=str).encode()
    except RecursionError as error:
        raise ValueError("A call has too many brackets.") from error
    if is_deep(calls):
        raise ValueError(f"A call has more than {MOST_LEVELS} levels of brackets.")
    return message


def is_deep(value: Any, levels: int = MOST_LEVELS) -> bool:
    """Tells whether lists and mappings stand more than so many levels inside each other."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return levels < 0 or any(is_deep(each, levels - 1) for each in inner)

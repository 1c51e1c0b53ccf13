"""Completions in which the policy calls tools: each call guarded, noted, counted, and in the table."""

import json
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from align.errors import RewardError
from align.methods.grpo.tools.guarded import COSTS_THE_ROW, GuardedEnvironment, ToolProcess
from align.training.as_in_trl import old_names_hidden
from align.training.guarded_rewards import RewardRules
from align.training.reward_records import invalid_share
from rewards.running.guard import GuardedReward

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object


LONGEST_RESULT = 2000  # characters of a result in the table of completions
UNKNOWN = "unknown"  # stands in metrics for every name that no tool has
COLUMN = "tool_calls"


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
            raise _refusal("skipped", f"not called, because of an earlier call ({self.lost})")
        if not super().__contains__(name):
            raise _refusal(UNKNOWN, f"there is no tool {name!r}; there are {', '.join(self)}")
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
        text = str(result)
        if len(text) > LONGEST_RESULT:
            text = f"{text[:LONGEST_RESULT]} ... ({len(text):,} characters)"
        self.calls.append(ToolCall(name, arguments, text, round(time.perf_counter() - started, 4), failure))


class _Refusal(RuntimeError):
    failure = ""


def _refusal(failure: str, text: str) -> _Refusal:
    error = _Refusal(text)
    error.failure = failure
    return error


def process_of(tool: Any) -> ToolProcess | None:
    """Returns the process that a guarded tool, or the method of a guarded environment, calls."""
    return getattr(getattr(tool, "__self__", None), "_process", getattr(tool, "process", None))


def lost_by(environment: Any) -> str:
    """Says why an environment is lost; empty if it is not, or has no guard."""
    return environment._lost if isinstance(environment, GuardedEnvironment) else ""


def as_column(rows: Iterable[RowTools]) -> list[str]:
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


def count_row(row: RowTools, completion: Any) -> RowCounts:
    """Counts a row; names that are no tool's count as one, since the model may write any."""
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


class ToolRollouts(Parent):
    """Adds to a trainer of TRL what has to be known about the calls of tools; without tools nothing differs.

    The loop of turns and calls is TRL's. Tools and environments come from `guard_tools` and `guard_environment`. A
    tool that raises costs nothing: the model is shown the error, and may go on. A row of which a call took too long
    or ended its process, as too much memory does to that of an environment, or whose environment could not be reset
    or scored, is lost: its later calls are not made, rewards are not asked about it unless they read whole batches,
    and what `on_invalid` says of an invalid reward holds for all of its rewards.
    """

    reward_rules: RewardRules
    environments: list[Any] | None  # type: ignore[assignment]
    environment_factories: Any
    model: PreTrainedModel
    _logs: Any

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._row_tools: list[RowTools] = []
        self._batch_seed = ""
        self._batch_counts: dict[str, tuple[int, int]] = {}  # by mode: its step, and how many batches that has had
        super().__init__(*args, **kwargs)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._batch_seed = self._next_seed()
        for factory in (self.environment_factories or {}).values():
            if isinstance(factory, type) and issubclass(factory, GuardedEnvironment):
                factory._seed = self._batch_seed
        with old_names_hidden():
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
        return output

    def _generate(self, prompts: list[Any]) -> Any:
        if self.tools:
            dicts = zip(self._sync_tool_dicts, self._async_tool_dicts, strict=True)
            self._row_tools = [
                RowTools(tools, f"{self._batch_seed}/{place}", elsewhere)
                for place, (tools, elsewhere) in enumerate(dicts)
            ]
            for row, environment in zip(self._row_tools, self.environments or [], strict=False):
                row.lost = lost_by(environment)
            self._sync_tool_dicts = list(self._row_tools)
        return super()._generate(prompts)

    def _next_seed(self) -> str:
        """Names a batch by its place in its step, which a run that goes on counts from 0 as well."""
        mode, step = "train" if self.model.training else "eval", self.state.global_step
        before, count = self._batch_counts.get(mode, (step, 0))
        count = count if before == step else 0
        self._batch_counts[mode] = step, count + 1
        return f"{self.args.seed}/{mode}/{step}/{count}/{self.accelerator.process_index}"

    def _calculate_rewards(
        self, inputs: list[dict[str, Any]], prompts: list[Any], completions: list[Any], completion_ids_list: list[Any]
    ) -> torch.Tensor:
        read = [ended(completion) for completion in completions] if self.tools else completions
        unread = {place for place, row in enumerate(self._row_tools) if row.lost} if self.tools else set()
        for func in [*self.reward_funcs, *self.reward_rules.audits]:
            if isinstance(func, GuardedReward):
                func.left_out = unread  # a judge would be paid for them
        values: torch.Tensor = super()._calculate_rewards(inputs, prompts, read, completion_ids_list)
        if not self.tools:
            return values
        for row, environment in zip(self._row_tools, self.environments or [], strict=False):
            row.lost = row.lost or lost_by(environment)
        own = [count_row(row, completion) for row, completion in zip(self._row_tools, completions, strict=True)]
        self._log_completion_extra(COLUMN, as_column(self._row_tools))
        rows: list[RowCounts] = gather_object(own)
        if self.accelerator.is_main_process:
            for name, value in call_metrics(rows).items():
                self._log_metric(name, value)
        self._judge_lost(rows)
        lost = torch.tensor([row.lost for row in rows], device=values.device)
        values[lost] = 0.0 if self.reward_rules.on_invalid == "zero" else torch.nan
        return values

    def _judge_lost(self, rows: list[RowCounts]) -> None:
        """Ends training on every rank if too many rows are lost."""
        reasons = [row.lost_by for row in rows if row.lost]
        share = invalid_share(self.state, "completions", len(reasons), len(rows))
        if not reasons:
            return
        rules = self.reward_rules
        told = f"{len(reasons)} of {len(rows)} completions of this step lost their tool or environment"
        if rules.on_invalid == "raise":
            why = "and `on_invalid` is `raise`"
        elif share > rules.max_invalid_share:
            why = f"{share:.0%} in the last steps, above `max_invalid_share: {rules.max_invalid_share:g}`"
        else:
            return
        raise RewardError(
            f"{told}, {why}. The first: {reasons[0]}. Mend the tool, or allow more with `tool_timeout`, `on_invalid` "
            "and `max_invalid_share`."
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Logs as TRL does; the arguments of calls are texts in the table, whose columns have one type each."""
        if self.tools and self.log_completions:
            written = [with_arguments_as_text(completion) for completion in self._logs["completion"]]
            self._logs["completion"].clear()
            self._logs["completion"].extend(written)
        super().log(logs, start_time)


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

"""Completions in which the policy calls tools: each call guarded, noted, counted, and in the table."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from align.errors import RewardError
from align.recipe.recipe import Recipe
from align.secrets import mask
from align.tools.calls import (
    COLUMN,
    RowCounts,
    RowTools,
    as_column,
    call_metrics,
    count_row,
    ended,
    keep_odd_calls_as_text,
    lost_by,
    with_arguments_as_text,
)
from align.tools.environments import describe, host_environment
from align.tools.guarded import GuardedEnvironment, Limits, guard_environment, guard_tools
from align.tools.named import named_by
from align.training.as_in_trl import old_names_hidden
from align.training.guarded_rewards import RewardRules
from align.training.reward_records import invalid_share
from rewards.running.guard import GuardedReward

if TYPE_CHECKING:
    from trl import GRPOTrainer as Parent
else:
    Parent = object


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
        if self.tools:
            keep_odd_calls_as_text(self._tokenizer)

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
        self._batch_seed = self._next_seed()
        for factory in (self.environment_factories or {}).values():
            if isinstance(factory, type) and issubclass(factory, GuardedEnvironment):
                factory._guard_seed = self._batch_seed
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
        for environment in self.environments or []:
            environment._guard_pays = True  # until it is reset
        values: torch.Tensor = super()._calculate_rewards(inputs, prompts, read, completion_ids_list)
        if not self.tools:
            return values
        for row, environment in zip(self._row_tools, self.environments or [], strict=False):
            row.lost = row.lost or lost_by(environment)
        own = [count_row(row, completion) for row, completion in zip(self._row_tools, completions, strict=True)]
        self._pending_extra_logs[COLUMN].extend(as_column(self._row_tools))
        rows: list[RowCounts] = gather_object(own)
        if self.accelerator.is_main_process:
            for name, value in call_metrics(rows).items():
                self._pending_metrics[name].append(value)
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
        """Logs as TRL does; the arguments of calls are texts in the table, and secrets are masked."""
        if self.tools and self.log_completions:
            written = mask([with_arguments_as_text(completion) for completion in self._logs["completion"]])
            self._logs["completion"].clear()
            self._logs["completion"].extend(written)
        super().log(logs, start_time)


def tools_of(recipe: Recipe) -> dict[str, Any]:
    """Guards the recipe's tools and environments, in the words of TRL."""
    tools, environments = named_by(recipe)
    limits = Limits(recipe.settings.tool_timeout, recipe.settings.tool_memory_gb)
    classes: dict[str | None, type] = {name: guard_environment(spec, limits) for name, spec in environments.items()}
    if (hosted := recipe.settings.environment) and describe(hosted, limits).tools:
        classes = {None: host_environment(hosted, limits)}
    return {"tools": guard_tools(tools, limits) or None, "environment_factory": classes.get(None, classes or None)}


@contextmanager
def quiet_about_environments() -> Iterator[None]:
    """Hides the warning that environments are an experiment of TRL's: the page of recipes says so."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="You are using 'environment_factory'")
        yield

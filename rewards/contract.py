"""Calls a reward on sample rows the way TRL does, before training, and says what is wrong with it."""

import asyncio
import inspect
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from numbers import Number
from types import SimpleNamespace
from typing import Any, NamedTuple

from rewards.protocol import is_async, reward_name
from rewards.responses import Completion, completion_text

# TRL takes these out of the columns before it calls a reward.
NOT_COLUMNS = ("prompt", "completion", "completion_ids")


class RewardProblem(NamedTuple):
    """Something that would stop or spoil training."""

    reward: str
    problem: str
    remedy: str

    def __str__(self) -> str:
        return f"Reward `{self.reward}` {self.problem}. {self.remedy}"


def check_reward(
    func: Callable[..., Any], rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion]
) -> list[RewardProblem]:
    """Calls a reward on sample rows with TRL's keyword arguments and lists what is wrong.

    Args:
        func: The reward, a coroutine function included.
        rows: Sample rows of the data set, with their `prompt`.
        completions: One sample response per row, plain or conversational. Their bytes stand in for tokens.

    Returns:
        The problems, none if TRL could use the reward on these rows.

    Raises:
        ValueError: If there are no rows, or not one completion per row.

    Example:
        >>> def shouting(completions, **kwargs):
        ...     return [float(text.isupper()) for text in completions[1:]]
        >>> print(*check_reward(shouting, [{"prompt": "a"}, {"prompt": "b"}], ["NO", "no"]))
        Reward `shouting` returned 1 value for 2 completions. Return one number (or None) per completion.
    """
    if not rows or len(rows) != len(completions):
        raise ValueError(f"Give one completion per row and at least one row, got {len(completions)} for {len(rows)}.")
    arguments = _call_arguments(rows, completions)
    problems = _check_signature(func, arguments)
    if problems:
        return problems
    name = reward_name(func)
    try:
        values = asyncio.run(func(**arguments)) if is_async(func) else func(**arguments)
    except Exception as error:  # whatever the reward raises is the finding
        remedy = "Run it on one row of the data set and mend it; an error in a reward stops training."
        return [RewardProblem(name, f"raised {type(error).__name__}: {error}{_place(error)}", remedy)]
    return _check_values(name, values, len(rows))


def _call_arguments(rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion]) -> dict[str, Any]:
    """Builds the keyword arguments of TRL 1.16, `GRPOTrainer._calculate_rewards`."""
    columns = {key: [row[key] for row in rows] for key in rows[0] if key not in NOT_COLUMNS}
    return {
        "prompts": [row.get("prompt") for row in rows],
        "completions": list(completions),
        "completion_ids": [list(completion_text(completion).encode()) for completion in completions],
        **columns,
        "trainer_state": SimpleNamespace(global_step=0, max_steps=1, epoch=0.0, num_train_epochs=1),
        "log_extra": lambda column, values: None,
        "log_metric": lambda name, value: None,
    }


def _check_signature(func: Callable[..., Any], arguments: Mapping[str, Any]) -> list[RewardProblem]:
    parameters = inspect.signature(func).parameters
    keywords = [p for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    name, problems = reward_name(func), []
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        unexpected = [key for key in arguments if key not in {parameter.name for parameter in keywords}]
        if unexpected:
            remedy = "TRL passes every column and more by keyword: add `**kwargs` to its signature."
            problems.append(RewardProblem(name, f"does not take the keyword {_quote(unexpected)}", remedy))
    for parameter in keywords:
        if parameter.default is parameter.empty and parameter.name not in arguments:
            near = get_close_matches(parameter.name, list(arguments), n=1)
            hint = f"Did you mean `{near[0]}`? " if near else ""
            remedy = f"{hint}It is called with: {', '.join(arguments)}."
            problems.append(RewardProblem(name, f"needs a column `{parameter.name}` that the data lacks", remedy))
    if any(p.kind is p.POSITIONAL_ONLY and p.default is p.empty for p in parameters.values()):
        problems.append(
            RewardProblem(name, "takes positional-only arguments", "TRL calls by keyword: remove the `/`.")
        )
    return problems


def _check_values(name: str, values: Any, expected: int) -> list[RewardProblem]:
    remedy = "Return one number (or None) per completion."
    if values is None or isinstance(values, str | bytes | Mapping | Number):
        return [RewardProblem(name, f"returned {_shorten(values)} ({type(values).__name__}), not a list", remedy)]
    if inspect.isawaitable(values):
        return [
            RewardProblem(
                name, "returned a coroutine", "Declare the reward itself `async def`, so that TRL awaits it."
            )
        ]
    try:
        listed = list(values)
    except TypeError:
        return [RewardProblem(name, f"returned a {type(values).__name__}, not a list", remedy)]
    if len(listed) != expected:
        count = f"{len(listed)} value{'s' if len(listed) != 1 else ''}"
        return [RewardProblem(name, f"returned {count} for {expected} completions", remedy)]
    faults = [(i, value, fault) for i, value in enumerate(listed) if (fault := _fault(value))]
    if not faults:
        return []
    i, value, fault = faults[0]
    problem = f"returned {_shorten(value)} for {len(faults)} of {expected} rows, first at row {i + 1}: {fault}"
    return [RewardProblem(name, problem, "Return a finite number, or None to skip a row.")]


def _fault(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str | bytes | Mapping):
        return f"a {type(value).__name__} is not a number"
    try:
        number = float(value)
    except (TypeError, ValueError):
        return f"a {type(value).__name__} is not a number"
    if math.isnan(number):
        return "TRL skips NaN silently"
    return "an infinite reward makes every advantage of its group NaN" if math.isinf(number) else ""


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f" (line {frame.lineno} of {frame.filename})"


def _quote(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _shorten(value: Any) -> str:
    return f"{value!r:.60}"

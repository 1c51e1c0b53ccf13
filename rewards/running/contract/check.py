"""The first question to a reward: does one call on sample rows work?"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewards.reading.responses import Completion
from rewards.running.contract.calls import call_arguments
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.signature import check_signature, parameters_of
from rewards.running.contract.watched import Call, call_watched


def check_reward(
    func: Callable[..., Any], rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion]
) -> list[RewardProblem]:
    """Calls a reward once with TRL's keyword arguments and lists what is wrong; `try_reward` asks for more.

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
    name, parameters = parameters_of(func)
    problems = check_signature(name, parameters, list(call_arguments(rows[:1], completions[:1])))
    if problems:
        return problems
    problem = call_watched(func, Call(rows, completions)).problem
    return [problem] if problem else []

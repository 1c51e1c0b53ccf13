"""Calls rewards on what policies answered, as TRL calls them in training."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.data.prompt_rows import PromptRow, prompts_to_rows
from align.errors import UserError
from align.evaluation.statistics.metrics import Values
from align.models.policies.asking import Completion
from rewards.running.contract.signature import check_signature, read_parameters
from rewards.running.event_loop import result_of
from rewards.running.guard import GuardedReward
from rewards.running.protocol import CALL_ARGUMENTS, TRAINER_ARGUMENTS, is_async
from rewards.running.scores import Score

ROWS_AT_ONCE = 256
Progress = Callable[[str, int, int], None]


class Rewarded(NamedTuple):
    """The values of a reward on the samples of one policy.

    Attributes:
        values: `(N, S)`; nan where it has nothing to say, or failed.
        scores: Of `N * S` samples, with failures; empty for a reward model.
    """

    values: Values
    scores: list[Score]

    @property
    def failures(self) -> dict[str, int]:
        """Invalid values by what they are."""
        return dict(Counter(score.failure for score in self.scores if score.failure))


def check_columns(reward: Callable[..., Any], rows: Sequence[Mapping[str, Any]]) -> None:
    """Refuses a reward that cannot be called with the columns of the data.

    Raises:
        UserError: If it needs one that is not there.
    """
    columns = [name for name in rows[0] if name not in ("prompt", *CALL_ARGUMENTS)]
    name = str(getattr(reward, "__name__", reward))
    arguments = [*CALL_ARGUMENTS, *columns, *TRAINER_ARGUMENTS]
    problems = check_signature(name, read_parameters(reward), arguments)
    if problems:
        raise UserError(f"{problems[0]} Nothing was generated.")


def call_reward(
    reward: GuardedReward,
    prompts: Sequence[PromptRow],
    completions: Sequence[Sequence[Completion]],
    progress: Progress,
) -> Rewarded:
    """Calls a guarded reward on all samples, the samples of a prompt in one call."""
    from transformers import TrainerState

    num_samples, rows, state = len(completions[0]), prompts_to_rows(list(prompts)), TrainerState()
    size = max(1, ROWS_AT_ONCE // num_samples)
    values: list[float | None] = []
    reward.take_scores()
    for start in range(0, len(rows), size):
        part = [row for row in rows[start : start + size] for _ in range(num_samples)]
        said = [each for group in completions[start : start + size] for each in group]
        given = trl_arguments(part, said) | {"trainer_state": state, "log_extra": _unread, "log_metric": _unread}
        found = reward(**given)
        values += result_of(found) if is_async(reward) else found
        progress(f"reward {reward.__name__}", min(start + size, len(rows)), len(rows))
    return Rewarded(_table(values, num_samples), reward.take_scores())


def trl_arguments(rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion]) -> dict[str, Any]:
    """Makes the arguments of TRL's call: completions of messages are messages, and every column is a list."""
    given: dict[str, Any] = {
        "prompts": [row["prompt"] for row in rows],
        "completions": [
            each.text if isinstance(row["prompt"], str) else [{"role": "assistant", "content": each.text}]
            for row, each in zip(rows, completions, strict=True)
        ],
        "completion_ids": [list(each.ids or ()) for each in completions],
    }
    return given | {name: [row[name] for row in rows] for name in rows[0] if name != "prompt"}


def ask_reward_model(
    score: Callable[[Sequence[Any], Sequence[str]], Values],
    prompts: Sequence[PromptRow],
    completions: Sequence[Sequence[Completion]],
) -> Rewarded:
    """Scores all samples with a reward model; nan for those that are too long for it."""
    num_samples = len(completions[0])
    asked = [row.prompt for row in prompts for _ in range(num_samples)]
    texts = [each.text for group in completions for each in group]
    return Rewarded(_table(list(score(asked, texts)), num_samples), [])


def _table(values: Sequence[float | None], num_samples: int) -> Values:
    table: Values = np.array([np.nan if value is None else float(value) for value in values]).reshape(-1, num_samples)
    return table


def _unread(*_: Any) -> None:
    """Takes what a reward logs; an evaluation has no step to log it at."""

"""The record of models whose answers to prompts a reward graded, one sample each."""

import numpy as np
from written_evaluation import about

from align.evaluation.record import Record
from align.evaluation.record.record import About
from align.evaluation.suites.prompts.evaluation import prompt_record
from align.evaluation.suites.prompts.suite import read_scale, reward_suite


def graded_record(
    values: dict[str, list[float]], right_from: float | None = None, better: str | None = None, role: str = "reward"
) -> Record:
    """Arranges the values of the reward `rm`, by model, as `align eval --rewards` does."""
    drawn = {name: np.array(each, dtype=float)[:, None] for name, each in values.items()}
    n, scale = len(next(iter(values.values()))), read_scale(list(drawn.values()), right_from)
    suite = {
        name: {"rm": reward_suite("rm", each, [[None]] * n, [None] * n, [1], scale)} for name, each in drawn.items()
    }
    run = about(list(values), n)
    run |= {"suites": ["rm"], "profile": run["profile"] | {"pass_at_k": [1]}}
    rewards = [{"name": "rm", "spec": "rm", "role": role, "right_from": scale.right_from, "invalid": {}}]
    rewards[0] |= {} if better is None else {"better": better}
    return prompt_record(
        About.model_validate(run | {"rewards": rewards}), suite, [f"q{i}" for i in range(n)], [], {"rm": scale}
    )

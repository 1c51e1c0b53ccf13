"""Rewards that are not the same twice: some rows of a step are scored again, and what differs is noise."""

import asyncio
import random
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from align.recipe.reward_settings import FEWEST_REPEATS
from rewards.running.contract.trial import first_difference
from rewards.running.guard import GuardedReward
from rewards.running.protocol import is_async, result_of
from rewards.running.scores import Score


class Repeat(NamedTuple):
    """Two values of one completion; `failed` where the reward gave none the second time because it failed."""

    first: float | None
    again: float | None
    failed: bool = False

    @property
    def differs(self) -> bool:
        """Whether the second value is another one, by more than rounding (1e-4 of the larger, or of 1)."""
        return self.failed or first_difference([self.first], [self.again]) is not None


def rows_to_repeat(scores: Sequence[Score], share: float, ranks: int, seed: Sequence[int]) -> list[int]:
    """Draws rows of one rank in a random order; those that failed are counted already, and a hang would cost twice.

    At least `FEWEST_REPEATS` on all ranks together, where there are as many.
    """
    count = max(int(np.ceil(share * len(scores))), -(-FEWEST_REPEATS // ranks))
    order = np.random.default_rng(seed).permutation(len(scores)).tolist()
    return [row for row in order if scores[row].failure is None][:count]


def pair_scores(first: Sequence[Score], rows: Sequence[int], again: Sequence[Score]) -> list[Repeat]:
    """Pairs the scores of rows with those they got when they were scored again."""
    return [
        Repeat(first[row].value, score.value, score.failure is not None)
        for row, score in zip(rows, again, strict=True)
    ]


def repeat_metrics(repeats: Sequence[Repeat], values: np.ndarray, num_generations: int) -> dict[str, float]:
    """Returns how much a reward differs from itself; NaN where there is nothing to tell it from.

    `values` `(N,)` are those of the whole batch, the completions of a prompt in a row. `flaky_share`: share of the
    rows whose value differs. `repeat_difference`: mean absolute difference. `noise_variance`: mean of `(a - b)^2 / 2`,
    the variance of one value around the mean of its completion. `group_variance`: variance of the values inside the
    groups, pooled. `repeat_icc`: see `icc`.
    """
    pairs = np.array([(a, b) for a, b, failed in repeats if a is not None and b is not None and not failed])
    pairs = pairs.reshape(-1, 2).astype(np.float64)
    gaps = pairs[:, 0] - pairs[:, 1]
    return {
        "flaky_share": _mean(np.array([repeat.differs for repeat in repeats], dtype=np.float64)),
        "repeat_difference": _mean(np.abs(gaps)),
        "repeat_icc": icc(pairs),
        "noise_variance": _mean(gaps**2) / 2,
        "group_variance": group_variance(values, num_generations),
    }


def icc(pairs: np.ndarray) -> float:
    """Returns the one-way random intraclass correlation ICC(1,1) of `(n, 2)` values, which is 1 without noise.

    `(MSB - MSW) / (MSB + MSW)`: the mean squares between and within the rows (Shrout and Fleiss, 1979, with k = 2).
    NaN for fewer than two rows, and where all values are the same.
    """
    if len(pairs) < 2:
        return float("nan")
    means = pairs.mean(axis=1)
    between = 2 * ((means - means.mean()) ** 2).sum() / (len(pairs) - 1)
    within = ((pairs[:, 0] - pairs[:, 1]) ** 2 / 2).mean()
    return float((between - within) / (between + within)) if between + within > 0 else float("nan")


def group_variance(values: np.ndarray, num_generations: int) -> float:
    """Returns the variance inside groups: squares around each group's mean, over values less groups; NaN without."""
    groups = [values[start : start + num_generations] for start in range(0, len(values), num_generations)]
    known = [group[np.isfinite(group)] for group in groups]
    freedom = sum(max(len(group) - 1, 0) for group in known)
    squares = sum(float(((group - group.mean()) ** 2).sum()) for group in known if len(group))
    return squares / freedom if freedom else float("nan")


def add_noise_shares(metrics: MutableMapping[str, list[float]]) -> None:
    """Adds the share of the variance inside groups that is noise, from the means of both since the last log."""
    for key in [key for key in metrics if key.startswith("rewards/") and key.endswith("/noise_variance")]:
        reward = key.rpartition("/")[0]
        variance = _mean(np.array(metrics.get(f"{reward}/group_variance", [])))
        if variance > 0:
            metrics[f"{reward}/noise_share"] = [min(1.0, _mean(np.array(metrics[key])) / variance)]


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def score_again(
    rows: Mapping[GuardedReward, Sequence[int]], given: Mapping[str, Any], device: torch.device
) -> dict[GuardedReward, list[Score]]:
    """Scores rows of a batch again, each reward its own; those that are awaited all at once.

    The random states of Python, numpy, torch and the device are put back.
    """
    with generators_kept(device):
        found = {func: func.score_again(given, own) for func, own in rows.items() if not is_async(func)}
        awaited = [func for func in rows if is_async(func)]
        if not awaited:
            return found

        async def together() -> list[list[Score]]:
            return await asyncio.gather(*(func.score_again(given, rows[func]) for func in awaited))

        return found | dict(zip(awaited, result_of(together()), strict=True))


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """Puts random states back: a reward that draws from them changes nothing for the trainer."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)

import asyncio
import os
from types import SimpleNamespace

import pytest
import torch
from awaited_rewards import in_turn
from in_time import whatever_the_speed
from unruly_rewards import logging_reward, patient, unruly

from align.training.reward_records import score_again
from rewards.running.guard import AsyncGuardedReward, GuardedReward, GuardSettings

TEXTS = ["a", "bb", "ccc", "dddd"]


def by_process(completions, **kwargs):
    """Tells which process scored a completion."""
    return [float(os.getpid()) for _ in completions]


def arguments(completions):
    count = len(completions)
    given = {"prompts": ["q"] * count, "completions": completions, "completion_ids": [[1]] * count}
    return given | {"trainer_state": SimpleNamespace(global_step=7), "log_extra": None, "log_metric": None}


def values(scores):
    return [score.value for score in scores]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_rows_are_scored_again_in_their_own_order(workers):
    reward = GuardedReward(unruly, GuardSettings(workers=workers, timeout=60.0 if workers else None))
    given = arguments(TEXTS)
    reward(**given)
    assert values(reward.score_again(given, [3, 0])) == [4.0, 1.0]
    assert values(reward.score_again(given, [])) == []
    assert values(reward.take_scores()) == [1.0, 2.0, 3.0, 4.0], "what is scored again is not counted"
    reward.close()


def test_nothing_is_logged_again():
    logged = []
    reward = GuardedReward(logging_reward)
    given = arguments(TEXTS) | {"log_extra": lambda *each: logged.append(each), "log_metric": lambda *each: None}
    reward(**given)
    assert values(reward.score_again(given, [1])) == [7.0]
    assert len(logged) == 1


@pytest.mark.slow
def test_another_worker_scores_a_row_again():
    reward = GuardedReward(by_process, GuardSettings(workers=3, timeout=60.0))
    given = arguments(TEXTS * 8)
    first = reward(**given)
    for rows in ([5, 2, 31], list(range(32))[::-1]):
        again = values(reward.score_again(given, rows))
        assert all(a != first[row] for a, row in zip(again, rows, strict=True))
    reward.close()


@pytest.mark.slow
@whatever_the_speed(2.0, 20.0)
def test_a_row_whose_other_worker_dies_is_scored_by_the_one_that_comes_after_it(seconds):
    reward = GuardedReward(unruly, GuardSettings(workers=2, timeout=seconds))
    given = arguments(["exit 1", "a", "sleep 999", "bb"])
    reward(**given)
    again = reward.score_again(given, [3, 2, 1, 0])
    assert [score.failure for score in again] == [None, "timeout", None, "died"]
    reward.close()


def test_a_reward_that_is_awaited():
    for settings in (GuardSettings(), GuardSettings(timeout=60.0)):
        reward = AsyncGuardedReward(patient, settings)
        given = arguments(["a", "sleep 0.01", "ccc"])
        asyncio.run(reward(**given))
        assert values(asyncio.run(reward.score_again(given, [2, 1]))) == [3.0, 1.0]
        assert len(reward.take_scores()) == 3


def test_rewards_that_are_awaited_without_a_loop_of_trl_share_one():
    reward = AsyncGuardedReward(in_turn(), GuardSettings())
    for _ in range(2):
        found = score_again({reward: [2, 1, 0]}, arguments(TEXTS), torch.device("cpu"))
        assert values(found[reward]) == [3.0, 2.0, 1.0]

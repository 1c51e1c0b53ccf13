import asyncio
import dataclasses
import os
import pickle
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from in_time import whatever_the_speed
from started import ROOT
from unruly_rewards import batch_rank, judge, logging_reward, patient, unruly

import rewards
from rewards.running.guard import AsyncGuardedReward, GuardedReward, GuardSettings, guard_rewards
from rewards.running.protocol import is_async
from rewards.running.scores import LEFT_OUT

WORKERS = GuardSettings(workers=2, timeout=60.0, memory_gb=4)
CALM = ["a", "bb", "ccc", "dddd"]


def call(reward, completions, **columns):
    """Calls a reward as TRL does, and returns what it gave and what it logged."""
    extra, metrics = {}, []
    given = {
        "prompts": ["q"] * len(completions),
        "completions": completions,
        "completion_ids": [[1, 2]] * len(completions),
        "trainer_state": SimpleNamespace(global_step=7, log_history=[{"loss": 1.0}]),
        "log_extra": extra.__setitem__,
        "log_metric": lambda name, value: metrics.append((name, value)),
    }
    found = reward(**given | columns)
    return (asyncio.run(found) if is_async(reward) else found), extra, metrics


@pytest.fixture(scope="module")
def guarded():
    guarded = guard_rewards([unruly, batch_rank, logging_reward, judge], WORKERS)
    yield {reward.__name__: reward for reward in guarded}
    guarded[0].close()


BAD = ["nan", "inf", "text", "list", "raise x"]


@pytest.mark.parametrize("settings", [GuardSettings(), GuardSettings(on_invalid="raise"), WORKERS])
def test_values_nothing_can_be_learnt_from_are_none_and_counted(settings):
    reward = GuardedReward(unruly, settings)
    values, _, _ = call(reward, ["a", *BAD, "none", "bb"])
    assert values == [1.0, *[None] * 6, 2.0]
    kinds = [score.failure for score in reward.take_scores()]
    assert kinds == [None, "not finite", "not finite", "not a number", "not a number", "error", None, None]
    assert reward.take_scores() == []
    reward.close()


def test_zero_is_a_choice():
    values, _, _ = call(GuardedReward(unruly, GuardSettings(on_invalid="zero")), ["a", "nan", "none"])
    assert values == [1.0, 0.0, None]  # None is the reward's own answer and stays


@whatever_the_speed(2.0, 60.0)
def test_hangs_crashes_and_greed_cost_their_row(seconds):
    completions = ["a", "sleep 3600", "bb", "exit 1", "allocate 10", "ccc"]
    reward = GuardedReward(unruly, dataclasses.replace(WORKERS, timeout=seconds))
    values, _, _ = call(reward, completions)
    reward.close()
    assert values == [1.0, None, 2.0, None, None, 3.0]
    scores = reward.take_scores()
    assert [score.failure for score in scores] == [None, "timeout", None, "died", "error", None]
    assert "MemoryError" in scores[4].message
    assert scores[1].seconds >= seconds


def test_a_judge_that_does_not_answer_is_an_error(guarded):
    (slow,) = guard_rewards([judge], dataclasses.replace(WORKERS, timeout=1.0))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"  # bound, but nobody listens
        values, _, _ = call(guarded["judge"], CALM, address=[address] * 4)
        assert values == [None] * 4
        assert {score.failure for score in guarded["judge"].take_scores()} == {"error"}
        taken.listen()  # accepts the connection and never answers
        assert call(slow, CALM[:1], address=[address])[0] == [None]
        assert slow.take_scores()[0].failure == "timeout"
    slow.close()


def test_a_reward_that_compares_rows_gets_the_whole_batch(guarded):
    assert call(guarded["batch_rank"], ["ccc", "a", "bb"])[0] == [2.0, 0.0, 1.0]


def test_what_a_reward_logs_in_a_worker_reaches_the_trainer(guarded):
    here, there = GuardedReward(logging_reward), guarded["logging_reward"]
    values, extra, metrics = call(there, CALM)
    assert (values, extra) == call(here, CALM)[:2] == ([7.0] * 4, {"shout": ["A", "BB", "CCC", "DDDD"]})
    assert metrics == [("own/length", 1.0), ("own/length", 2.0), ("own/length", 3.0), ("own/length", 4.0)]
    assert call(here, CALM)[2] == [("own/length", 2.5)]  # the trainer averages


@pytest.mark.parametrize("settings", [GuardSettings(), WORKERS])
def test_rows_that_nobody_needs_are_left_out(settings):
    reward, whole = guard_rewards([logging_reward, batch_rank], settings)
    reward.left_out = whole.left_out = {0, 2}
    values, extra, metrics = call(reward, CALM)
    assert (values, extra) == ([0.0, 7.0, 0.0, 7.0], {"shout": [None, "BB", None, "DDDD"]})
    assert sum(value for _, value in metrics) in (6.0, 3.0)  # of "bb" and "dddd", or their mean
    assert [score.failure for score in reward.take_scores()] == [LEFT_OUT, None, LEFT_OUT, None]
    assert call(whole, CALM)[0] == [0.0, 1.0, 2.0, 3.0], "one that compares rows is asked about all"
    reward.left_out = set(range(4))
    assert call(reward, CALM) == ([0.0] * 4, {}, [])
    reward.close()


def test_a_coroutine_is_not_awaited_for_rows_that_nobody_needs():
    asked = []

    async def paid(completions, **kwargs):
        asked.extend(completions)
        return [1.0] * len(completions)

    (reward,) = guard_rewards([paid], GuardSettings())
    for left_out in ({1}, range(4)):
        reward.left_out = left_out
        assert call(reward, CALM)[0] == [float(row not in left_out) for row in range(4)]
    assert asked == ["a", "ccc", "dddd"]


def test_a_column_of_the_wrong_length_never_reaches_the_table():
    def careless(completions, log_extra, **kwargs):
        log_extra("seen", ["only one"])
        return [1.0] * len(completions)

    reward = GuardedReward(careless)
    values, extra, _ = call(reward, CALM)
    assert (values, extra) == ([1.0] * 4, {"seen": ["only one"] * 4})  # row by row, one value is right
    reward = GuardedReward(_two_values)
    values, extra, _ = call(reward, CALM)
    assert (values, extra) == ([None] * 4, {})
    assert "2 values of 'seen' for 1 completions" in reward.take_scores()[0].message


def _two_values(completions, log_extra, **kwargs):
    log_extra("seen", ["one", "two"])
    return [1.0] * len(completions)


def test_a_wrong_return_value_is_every_rows_failure():
    for returned, message in [
        (1.0, "a float, not a list"),
        ([1.0], "1 values for 4 rows"),
        ({}, "a dict, not a list"),
    ]:
        reward = GuardedReward(lambda completions, returned=returned, **kwargs: returned)
        assert call(reward, CALM)[0] == [None] * 4
        assert all(message in score.message for score in reward.take_scores())


def test_only_the_rows_that_raise_are_lost_in_this_process():
    calls = []

    def picky(completions, **kwargs):
        calls.append(len(completions))
        return [1.0 / len(text) for text in completions]

    assert call(GuardedReward(picky), ["a", "", "bb"])[0] == [1.0, None, 0.5]
    assert calls == [3, 1, 1, 1]


FORKED = """
import os
from rewards.running.guard import GuardedReward

def forks(completions, **kwargs):
    os.fork()
    return [1.0] * len(completions)

def exits(completions, **kwargs):
    raise SystemExit("no judge")

for reward in (forks, exits):
    guarded = GuardedReward(reward)
    print(guarded(completions=["a"]), *[score.message for score in guarded.take_scores()], flush=True)
"""


def test_no_second_training_process_comes_back_from_a_reward_and_none_ends_training():
    found = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.splitlines() == ["[1.0] ", "[None] SystemExit: no judge (<string>, line 10)"]


def test_what_a_reward_in_this_process_changes_for_training_is_put_back_and_said(caplog, tmp_path):
    torch = pytest.importorskip("torch")

    def careless(completions, **kwargs):
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        os.chdir(tmp_path)
        return [1.0] * len(completions)

    folder = os.getcwd()
    assert call(GuardedReward(careless), CALM)[0] == [1.0] * 4
    assert (torch.is_grad_enabled(), torch.get_default_dtype(), os.getcwd()) == (True, torch.float32, folder)
    assert "Reward `careless` changed settings of torch, put back: gradients (now off)" in caplog.text
    assert f"changed the working folder to {tmp_path}, put back" in caplog.text


@whatever_the_speed(1.0, 10.0, 100.0)
def test_coroutines_wait_together_and_time_out_alone(seconds):
    reward = guard_rewards([patient], GuardSettings(timeout=seconds))[0]
    assert type(reward) is AsyncGuardedReward
    values, _, _ = call(reward, ["a", "sleep 3600", "sleep 0.3", "raise x", *["sleep 0.3"] * 20])
    assert values == [1.0, None, 1.0, None, *[1.0] * 20]
    assert [score.failure for score in reward.take_scores()[:4]] == [None, "timeout", None, "error"]
    assert call(guard_rewards([patient], GuardSettings())[0], ["a", "raise x"])[0] == [1.0, None]


def test_a_guarded_reward_looks_like_the_reward():
    reward = GuardedReward(rewards.AnswerConsistency(), WORKERS)
    assert reward.__name__ == "answer_consistency"
    assert "second_choices" in reward.__signature__.parameters
    assert reward.needs_second_answer(True)
    copy = pickle.loads(pickle.dumps(reward))
    assert (copy.__name__, copy.settings) == ("answer_consistency", WORKERS)
    with pytest.raises(AttributeError):
        _ = reward.ghost


def test_a_reward_that_no_worker_can_load_is_every_rows_error():
    reward = GuardedReward(lambda completions, **kwargs: [1.0] * len(completions), WORKERS)
    assert call(reward, CALM)[0] == [None] * 4
    assert "top level of a module or file" in reward.take_scores()[0].message


def test_the_trainers_state_stays_whole_in_this_process():
    def uses_history(completions, trainer_state, **kwargs):
        return [trainer_state.log_history[-1]["loss"]] * len(completions)

    assert call(GuardedReward(uses_history), CALM)[0] == [1.0] * 4


@pytest.mark.parametrize(("name", "value"), [("on_invalid", "drop"), ("workers", -1)])
def test_settings_are_checked(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        GuardSettings(**{name: value})

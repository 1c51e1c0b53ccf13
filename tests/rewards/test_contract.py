import asyncio
import json
import os
import re
import threading

import numpy as np
import pytest
from awaited_rewards import in_turn, over_one_connection
from chat_server import ChatServer
from some_recipes import TRAINER

import rewards
from align.cli import run_command
from rewards.running.contract import FAULTS, Fault, check_reward
from rewards.running.protocol import result_of
from rewards.scoring.length import Length

ROWS = [
    {
        "prompt": "q",
        "question": "Rusts?",
        "options": ["iron", "gold"],
        "answer": 0,
        "id": str(i),
        "completion_ids": [9],
    }
    for i in range(3)
]
TEXTS = ["<think>Iron.</think><answer>A</answer>", "Answer: B", ""]
MESSAGES = [[{"role": "assistant", "content": text}] for text in TEXTS]


def returning(value):
    def reward(completions, **kwargs):
        return value

    return reward


async def awaited(completions, options, **kwargs):
    return [0.5 for _ in completions]


async def awaited_and_short(completions, **kwargs):
    return [0.5]


class AsyncCallable:
    async def __call__(self, completions, **kwargs):
        return [1.0 for _ in completions]


def needs_everything(prompts, completions, completion_ids, trainer_state, log_extra, log_metric, id, **kwargs):
    log_extra("id", id)
    log_metric("step", float(trainer_state.global_step))
    assert prompts == ["q"] * 3
    assert all(isinstance(ids, list) for ids in completion_ids)
    assert "prompt" not in kwargs
    return [float(len(ids)) for ids in completion_ids]


GOOD = [
    rewards.accuracy,
    rewards.format,
    Length(10),
    Length(10, unit="characters"),
    rewards.AnswerConsistency(1, 1, 0),
    awaited,
    AsyncCallable(),
    needs_everything,
    returning([1, 2.5, None]),
    returning(np.ones(3)),
    returning((True, False, True)),
    returning(list(np.float32([1, 2, 3]))),
    returning(float(i) for i in range(3)),
]


@pytest.mark.parametrize("completions", [TEXTS, MESSAGES], ids=["plain", "conversational"])
@pytest.mark.parametrize("reward", GOOD[:-1], ids=lambda reward: getattr(reward, "__name__", type(reward).__name__))
def test_rewards_that_trl_can_use_have_no_problems(reward, completions):
    assert check_reward(reward, ROWS, completions) == []


def test_an_iterator_is_as_good_as_a_list():
    assert check_reward(GOOD[-1], ROWS, TEXTS) == []


def test_an_awaited_reward_may_keep_what_is_bound_to_an_event_loop():
    with ChatServer(lambda body, times: 500) as server:
        for reward in (in_turn(), over_one_connection(server.url)):
            assert [check_reward(reward, ROWS, TEXTS) for _ in range(3)] == [[]] * 3


async def exits(completions, **kwargs):
    raise SystemExit("no judge")


async def cancels(completions, **kwargs):
    asyncio.current_task().cancel()
    await asyncio.sleep(1)


def test_an_awaited_reward_that_exits_or_is_cancelled_ends_its_own_call_only():
    (exited,), (cancelled,) = (check_reward(each, ROWS, TEXTS) for each in (exits, cancels))
    assert "raised SystemExit: no judge (line" in str(exited)
    assert "raised CancelledError. " in str(cancelled)
    assert check_reward(awaited, ROWS, TEXTS) == []


async def in_another_thread():
    return threading.current_thread() is not threading.main_thread()


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_awaits_in_a_loop_of_its_own():
    assert result_of(in_another_thread())
    child = os.fork()
    if not child:
        os._exit(3 if result_of(in_another_thread()) else 4)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def asks_for_a_column(completions, anwser, **kwargs):
    return [1.0 for _ in completions]


def divides(completions, **kwargs):
    return [1 / len(text) for text in completions]


BAD = [(asks_for_a_column, "missing_column"), (divides, "raises"), (awaited_and_short, "wrong_length"),
       (rewards.answer_consistency, "raises"), (returning(None), "not_a_list")]  # fmt: skip


@pytest.mark.parametrize(("reward", "kind"), BAD)
def test_what_would_stop_or_spoil_training_is_found(reward, kind):
    problems = check_reward(reward, ROWS, TEXTS)
    assert {(problem.kind, problem.reward) for problem in problems} == {(kind, reward.__name__)}
    assert TRAINER in problems[0].problem or reward is not rewards.answer_consistency


def test_a_fault_from_outside_is_found_with_its_words(monkeypatch, capsys):
    own = Fault("shy", "warning", "gave {value:g} at most", "Pay more.", lambda trial: [{"value": max(trial.seen)}])
    monkeypatch.setitem(FAULTS, "shy", own)
    assert run_command("rewards", "check", "format", "--json") == 0
    found = {each["numbers"].get("kind"): each for each in json.loads(capsys.readouterr().out)}
    assert found["shy"]["level"] == "warning"
    assert re.search(r"gave -?[\d.]+ at most. Pay more.", found["shy"]["text"])


def test_columns_that_a_second_pass_adds_satisfy_its_reward():
    rows = [row | {"first_choice": 0, "second_choices": [0]} for row in ROWS]
    assert check_reward(rewards.answer_consistency, rows, TEXTS) == []


@pytest.mark.parametrize(("rows", "completions"), [([], []), (ROWS, TEXTS[:2])])
def test_samples_have_to_match(rows, completions):
    with pytest.raises(ValueError, match="one completion per row"):
        check_reward(rewards.accuracy, rows, completions)

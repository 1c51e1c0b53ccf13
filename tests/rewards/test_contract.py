import asyncio
import os
import threading

import numpy as np
import pytest
from awaited_rewards import in_turn, over_one_connection
from chat_server import ChatServer
from some_recipes import TRAINER

import rewards
from rewards.running.contract import check_reward
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


def no_keywords(completions):
    return [1.0 for _ in completions]


def asks_for_a_column(completions, anwser, **kwargs):
    return [1.0 for _ in completions]


def positional(completions, /, **kwargs):
    return [1.0 for _ in completions]


def divides(completions, **kwargs):
    return [1 / len(text) for text in completions]


def hides_a_coroutine(completions, **kwargs):
    return awaited(completions, None)


BAD = [
    (no_keywords, r"does not take the keyword .*`options`.*add `\*\*kwargs`"),
    (asks_for_a_column, r"needs a column `anwser`.*Did you mean `answer`.*called with: prompts, completions"),
    (positional, r"positional-only"),
    (divides, r"raised ZeroDivisionError: division by zero \(line \d+ of .*test_contract.py\)"),
    (awaited_and_short, r"returned 1 value for 3 completions"),
    (returning(None), r"returned None \(NoneType\), not a list"),
    (returning(0.5), r"returned 0.5 \(float\), not a list"),
    (returning("abc"), r"returned 'abc' \(str\), not a list"),
    (returning({"a": 1, "b": 2, "c": 3}), r"\(dict\), not a list"),
    (returning(object()), r"returned a object, not a list"),
    (returning([1.0, 2.0]), r"returned 2 values for 3 completions"),
    (returning([1.0] * 4), r"returned 4 values for 3 completions"),
    (returning([1.0, "0.5", "1"]), r"returned '0.5' for 2 of 3 rows, first at row 2: a str is not a number"),
    (returning([1.0, {"score": 1}, 1]), r"a dict is not a number"),
    (returning([1.0, [1.0], 1]), r"a list is not a number"),
    (returning([1.0, 1.0, float("nan")]), r"returned nan for 1 of 3 rows, first at row 3: TRL skips NaN silently"),
    (returning([float("inf"), 1.0, 1.0]), r"returned inf .* row 1: an infinite reward"),
    (rewards.answer_consistency, rf"raised ValueError: .*which `{TRAINER}` adds"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:coroutine 'awaited' was never awaited:RuntimeWarning")
@pytest.mark.parametrize(("reward", "message"), [*BAD, (hides_a_coroutine, "Declare the reward itself `async def`")])
def test_what_would_stop_or_spoil_training_is_found(reward, message):
    problems = check_reward(reward, ROWS, TEXTS)
    with pytest.raises(ValueError, match=message):
        raise ValueError(" ".join(map(str, problems)))
    assert all(problem.reward and problem.remedy for problem in problems)


def test_columns_that_a_second_pass_adds_satisfy_its_reward():
    rows = [row | {"first_choice": 0, "second_choices": [0]} for row in ROWS]
    assert check_reward(rewards.answer_consistency, rows, TEXTS) == []


@pytest.mark.parametrize(("rows", "completions"), [([], []), (ROWS, TEXTS[:2])])
def test_samples_have_to_match(rows, completions):
    with pytest.raises(ValueError, match="one completion per row"):
        check_reward(rewards.accuracy, rows, completions)

import asyncio
import logging
import pickle
import threading
import time
from types import SimpleNamespace

import pytest
from in_time import whatever_the_speed
from started import modules_after
from unruly_rewards import patient, unruly

import align
from rewards.running.protocol import is_async

CALM = ["a", "bb", "ccc"]


def called(reward, completions, **more):
    """Calls a reward as TRL does; returns its values, and the numbers that it logged."""
    metrics = {}
    given = {"prompts": ["q"] * len(completions), "completions": completions, "log_metric": metrics.__setitem__}
    found = reward(**given | {"trainer_state": SimpleNamespace(global_step=1)} | more)
    return (asyncio.run(found) if is_async(reward) else found), metrics


@pytest.mark.parametrize("word", ["nan", "text", "raise x"])
def test_a_row_that_fails_is_none_and_the_others_have_their_reward(word, caplog):
    values, metrics = called(align.guard(unruly), ["a", word, "bb"])
    assert values == [1.0, None, 2.0]
    assert metrics == {"rewards/unruly/invalid_share": pytest.approx(1 / 3)}
    (said,) = [record.getMessage() for record in caplog.records]
    assert "Reward `unruly`, 1 of 3 values of a call are invalid; row 1" in said
    assert repr(word) in said


def test_each_kind_of_failure_is_told_once(caplog):
    reward = align.guard(unruly)
    for _ in range(3):
        called(reward, ["nan", "text", "raise x"])
    kinds = [record.getMessage().split("row ")[1].split(":")[0] for record in caplog.records]
    assert kinds == ["0, not finite", "1, not a number", "2, error"]


@whatever_the_speed(1.0, 10.0, 100.0)
def test_a_hang_and_a_death_cost_their_rows(seconds):
    reward = align.guard(unruly, timeout=seconds)
    assert reward.settings.workers == 1
    values, _ = called(reward, ["a", "sleep 999", "exit 1", "bb"])
    reward.close()
    assert values == [1.0, None, None, 2.0]


@whatever_the_speed(0.5, 5.0, 50.0)
def test_a_coroutine_function_is_awaited_with_its_limit(seconds):
    reward = align.guard(patient, timeout=seconds)
    assert is_async(reward)
    assert reward.settings.workers == 0
    assert called(reward, ["a", "sleep 999", "bb"])[0] == [1.0, None, 2.0]


def test_what_an_invalid_value_becomes_is_a_choice():
    assert called(align.guard(unruly, on_invalid="zero"), ["a", "nan", "none"])[0] == [1.0, 0.0, None]
    with pytest.raises(ValueError, match=r"`unruly`, 2 of 3 .* row 1, not finite.*Mend the reward, or allow it with"):
        called(align.guard(unruly, on_invalid="raise"), ["a", "nan", "inf"])


def test_scores_that_nobody_takes_are_forgotten():
    reward = align.guard(unruly)
    for _ in range(3):
        called(reward, CALM)
    assert [score.value for score in reward.take_scores()] == [1.0, 2.0, 3.0]


def test_a_copy_is_guarded_too():
    assert called(pickle.loads(pickle.dumps(align.guard(unruly))), ["a", "nan"])[0] == [1.0, None]


def in_main(completions, **kwargs):
    return [0.0] * len(completions)


in_main.__module__ = "__main__"


@pytest.mark.parametrize(
    ("func", "settings", "error", "words"),
    [
        ("accuracy", {}, TypeError, r"got 'accuracy'.*`rewards.resolve_reward\(...\)` makes one"),
        (align.Judge, {}, TypeError, "got the class `Judge`. Give the function, or an instance"),
        (unruly, {"timeout": 0}, ValueError, "`timeout` must be above 0, got 0. Use None for no limit"),
        (unruly, {"timeout": 1.0, "workers": 0}, ValueError, "`workers` must be at least 1 with `timeout`.*got 0"),
        (unruly, {"on_invalid": "drop"}, ValueError, "`on_invalid` must be one of raise, skip, zero; got 'drop'"),
        (in_main, {"timeout": 1.0}, ValueError, "cannot load `in_main`: it is defined in the script itself"),
        (lambda completions, **_: [], {"workers": 1}, ValueError, "it cannot be pickled"),
    ],
)
def test_what_cannot_be_guarded_is_refused_with_a_remedy(func, settings, error, words):
    with pytest.raises(error, match=words):
        align.guard(func, **settings)


def test_one_row_is_scored_by_its_text_and_plain_columns():
    seen = {}

    def reads(completions, prompts, answer, **columns):
        seen.update(columns, prompts=prompts)
        return [float(answer[0] == completions[0])]

    message = SimpleNamespace(model_dump=lambda: {"role": "assistant", "content": "4"})
    columns = {"answer": "4", "engine": object(), "weights": SimpleNamespace(tolist=lambda: [1, 2])}
    prompt = [{"role": "user", "content": "2+2?"}]
    assert align.guard(reads).score_one([message], columns, prompt).value == 1.0
    assert (seen["prompts"], seen["weights"], "engine" in seen) == (["2+2?"], [[1, 2]], False)


def test_a_row_that_fails_says_why():
    score = align.guard(unruly).score_one("raise x", {})
    assert (score.value, score.failure) == (None, "error")
    with pytest.raises(ValueError, match="Mend the reward"):
        align.guard(unruly, on_invalid="raise").score_one("nan", {})


def test_rows_that_wait_for_one_another_are_scored_together():
    sizes = []

    def slow(completions, **kwargs):
        sizes.append(len(completions))
        time.sleep(0.2)
        return [float(text) for text in completions]

    reward, found = align.guard(slow), {}
    threads = [
        threading.Thread(target=lambda i=i: found.update({i: reward.score_one(str(i), {"row": i}).value}))
        for i in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: float(i) for i in range(12)}
    assert sum(sizes) == 12
    assert len(sizes) < 12


def test_guarding_loads_no_library_of_the_larger_sizes():
    words = "import align; align.guard(lambda completions, **_: [0.0])(completions=['a'])"
    assert modules_after(words) & {"torch", "trl", "transformers", "accelerate", "datasets"} == set()


def test_a_warning_goes_to_a_logger_that_can_be_silenced(caplog):
    with caplog.at_level(logging.ERROR, logger="rewards.running.standalone"):
        called(align.guard(unruly), ["nan"])
    assert caplog.records == []

"""Rewards that are scored again while a real trainer runs: what is logged of that, and that nothing else changes."""

import json
import random

import numpy as np
import pandas as pd
import pytest
from in_time import whatever_the_speed
from test_guarded_rewards import log_of, table, train
from trained import weights
from unruly_rewards import batch_rank, patient, unruly

from align.training.guarded_rewards import RewardRules
from rewards.running.guard import GuardSettings, guard_rewards

QUANTITIES = ("flaky_share", "repeat_difference", "repeat_icc", "noise_variance", "group_variance", "noise_share")


def noisy(completions, **kwargs):
    """Draws its noise from the generators that the trainer draws from."""
    return [len(text) % 5 + random.random() + float(np.random.random()) for text in completions]


def without_repeats(entry):
    timed = ("time", "seconds", "runtime", "per_second")
    own = {name: value for name, value in entry.items() if not name.endswith(QUANTITIES)}
    return {name: value for name, value in own.items() if not any(word in name for word in timed)}


@pytest.mark.by_day("noisy-settings0")
@pytest.mark.parametrize(
    ("reward", "settings"), [(noisy, GuardSettings()), (unruly, GuardSettings(workers=2, timeout=60.0))]
)
def test_scoring_again_changes_nothing_but_the_log(tmp_path, reward, settings):
    trainers = []
    for share in (0.0, 0.5):
        random.seed(5)
        np.random.seed(5)
        rewards = guard_rewards([reward], settings)
        trainers.append(train(tmp_path / str(share), rewards, rules=RewardRules(repeats=share)))
        rewards[0].close()
    plain, repeated = trainers
    assert (weights(plain) == weights(repeated)).all()
    assert [entry["grad_norm"] for entry in log_of(plain)] != [0.0] * 3
    assert [without_repeats(entry) for entry in log_of(plain)] == [without_repeats(e) for e in log_of(repeated)]
    assert not any(name.endswith(QUANTITIES) for name in log_of(plain)[0])
    assert all(entry["rewards/noisy/flaky_share"] == 1.0 for entry in log_of(repeated) if reward is noisy)
    pd.testing.assert_frame_equal(table(tmp_path / "0.0", 3), table(tmp_path / "0.5", 3))
    lines = [(tmp_path / share / "rewards.jsonl").read_text().splitlines() for share in ("0.0", "0.5")]
    counts = [[(each["step"], each["rows"], each["invalid"]) for each in map(json.loads, text)] for text in lines]
    assert counts[0] == counts[1] == [(step, 8, {}) for step in (1, 2, 3)]


def test_what_is_logged_can_be_worked_out_from_the_calls(tmp_path):
    rng, calls = np.random.default_rng(0), []

    def scripted(completions, **kwargs):
        noise = rng.normal(0, 0.5, len(completions)) * (rng.random(len(completions)) < 0.5)
        calls.append((completions, [len(text) % 5 + each for text, each in zip(completions, noise, strict=True)]))
        return calls[-1][1]

    rules = RewardRules(repeats=0.25)
    settings = {"per_device_train_batch_size": 40, "num_generations": 8, "max_steps": 1}
    (entry,) = log_of(train(tmp_path, guard_rewards([scripted], GuardSettings()), rules=rules, **settings))
    (texts, values), (again, others) = calls
    assert (len(texts), len(again), len(set(texts))) == (40, 10, 40)
    firsts = [values[texts.index(text)] for text in again]
    assert again != [text for text in texts if text in again], "in another order"
    differing = [abs(a - b) > 1e-4 * max(1, abs(a), abs(b)) for a, b in zip(firsts, others, strict=True)]
    assert entry["rewards/scripted/flaky_share"] == pytest.approx(sum(differing) / 10)
    assert 0 < sum(differing) < 10
    gaps = [abs(a - b) for a, b in zip(firsts, others, strict=True)]
    assert entry["rewards/scripted/repeat_difference"] == pytest.approx(sum(gaps) / 10)
    within = sum(gap**2 / 2 for gap in gaps) / 10
    assert entry["rewards/scripted/noise_variance"] == pytest.approx(within)
    means = [(a + b) / 2 for a, b in zip(firsts, others, strict=True)]
    between = sum(2 * (mean - sum(means) / 10) ** 2 for mean in means) / 9
    assert entry["rewards/scripted/repeat_icc"] == pytest.approx((between - within) / (between + within))
    groups = [np.var(values[start : start + 8], ddof=1) for start in range(0, 40, 8)]
    assert entry["rewards/scripted/group_variance"] == pytest.approx(np.mean(groups))
    assert entry["rewards/scripted/noise_share"] == pytest.approx(within / np.mean(groups))


@whatever_the_speed(2.0, 60.0)
def test_rows_that_fail_and_rows_without_a_value(tmp_path_factory, seconds):
    tmp_path = tmp_path_factory.mktemp("run")
    rewards = guard_rewards([unruly], GuardSettings(workers=2, timeout=seconds))
    texts = ["aa", "sleep 999", "b", "nan", "raise x", "ccc", "exit 1", "none"]
    (entry,) = log_of(train(tmp_path, rewards, texts=texts, rules=RewardRules(repeats=1.0), max_steps=1))
    rewards[0].close()
    assert entry["rewards/unruly/invalid_share"] == 0.5, "failures of the second time are not counted"
    assert entry["rewards/unruly/flaky_share"] == entry["rewards/unruly/noise_variance"] == 0.0
    assert entry["rewards/unruly/repeat_icc"] == 1.0
    assert entry["rewards/unruly/group_variance"] == 0.5  # 2 and 1; 3 is alone


def test_a_small_batch_of_a_reward_that_never_has_a_value(tmp_path):
    def silent(completions, **kwargs):
        return [None] * len(completions)

    rewards = guard_rewards([silent], GuardSettings())
    settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_steps": 1}
    (entry,) = log_of(train(tmp_path, rewards, rules=RewardRules(repeats=0.05), **settings))
    assert {name for name in entry if name.endswith(QUANTITIES)} == {"rewards/silent/flaky_share"}


def test_a_reward_that_fails_only_the_second_time_differs_and_ends_nothing(tmp_path):
    calls = []

    def tired(completions, **kwargs):
        calls.append(len(completions))
        return [float(len(text)) if len(calls) == 1 else 1 / 0 for text in completions]

    rules = RewardRules(repeats=0.05, on_invalid="raise")
    settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_steps": 1}
    (entry,) = log_of(train(tmp_path, guard_rewards([tired], GuardSettings()), rules=rules, **settings))
    assert calls == [4, 4, 1, 1, 1, 1]
    assert entry["rewards/tired/flaky_share"] == 1.0
    assert entry["rewards/tired/invalid_share"] == 0.0


@pytest.mark.by_day("True")
@pytest.mark.parametrize("is_awaited", [False, True])
def test_audits_and_awaited_rewards_are_scored_again_and_whole_batches_are_not(tmp_path, is_awaited):
    trained, audit = ([patient], unruly) if is_awaited else ([unruly], patient)
    audits = guard_rewards([audit, batch_rank], GuardSettings())
    rules = RewardRules(audits=audits, repeats=0.05)
    (entry,) = log_of(train(tmp_path, guard_rewards(trained, GuardSettings()), rules=rules, max_steps=1))
    assert entry["rewards/unruly/flaky_share"] == entry["rewards/patient/flaky_share"] == 0.0
    assert entry["rewards/unruly/invalid_share"] == entry["rewards/patient/invalid_share"] == 0.0
    assert not any(name.startswith("rewards/batch_rank") and name.endswith(QUANTITIES) for name in entry)


def test_a_resumed_run_scores_the_same_rows_again(tmp_path):
    rules = {"rules": RewardRules(repeats=0.5), "max_steps": 4, "save_strategy": "steps", "save_steps": 2}
    whole = log_of(train(tmp_path, guard_rewards([noisy], GuardSettings()), **rules))
    checkpoint = str(tmp_path / "checkpoint-2")
    resumed = train(tmp_path, guard_rewards([noisy], GuardSettings()), resume_from=checkpoint, **rules)
    assert [without_repeats(e) for e in log_of(resumed)[-2:]] == [without_repeats(e) for e in whole[-2:]]
    for name in QUANTITIES:
        values = [entry[f"rewards/noisy/{name}"] for entry in whole[-2:]]
        assert values == [entry[f"rewards/noisy/{name}"] for entry in log_of(resumed)[-2:]]

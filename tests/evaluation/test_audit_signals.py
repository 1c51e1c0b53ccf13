import numpy as np
import pytest
from scipy.stats import rankdata

from align.training.reward_records import _ranks, audit_signals, repetition, text_features

GROUP = 8


def features(count=64):
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 6, (count, 6)).astype(float)
    drawn[:, 0] = rng.permutation(count)
    return drawn


def test_features_are_counted():
    text = "# Why\n- **one**\n2. two\n<think>x</think> \\boxed{3} [citation]"
    assert text_features([text], [17]).tolist() == [[17, 0.0, 3, 2, 3, 4]]
    assert text_features(["plain words"], [2]).tolist() == [[2, 0, 0, 0, 0, 0]]
    assert text_features([], []).shape == (0, 6)


@pytest.mark.parametrize(
    ("text", "share"), [("", 0.0), ("a b c", 0.0), ("a b c d e f g", 0.0), ("so it is so " * 9, 0.879)]
)
def test_repetition_is_the_share_of_runs_seen_before(text, share):
    assert repetition(text) == share


def test_a_reward_that_is_length_is_found():
    drawn = features()
    found = audit_signals(np.sqrt(drawn[:, 0]), drawn, GROUP)
    assert found["length"] == pytest.approx(1.0)
    assert abs(found["repetition"]) < 0.4
    assert audit_signals(-drawn[:, 0], drawn, GROUP)["length"] == pytest.approx(-1.0)


def test_only_differences_within_a_prompt_count():
    drawn = features()
    drawn[:, 0] += 1000 * (np.arange(64) // GROUP)  # prompts with long answers
    rewards = np.random.default_rng(1).normal(size=64) + 1000 * (np.arange(64) // GROUP)  # are easy
    assert abs(audit_signals(rewards, drawn, GROUP)["length"]) < 0.4
    assert np.corrcoef(rewards, drawn[:, 0])[0, 1] > 0.99


def test_the_share_of_format_is_what_marks_explain():
    drawn = features(512)
    marks = drawn[:, 2:]
    noise = np.random.default_rng(1).normal(size=512)
    assert audit_signals(marks @ [1.0, -2.0, 0.5, 0.1], drawn, GROUP)["format_share"] == pytest.approx(1.0)
    half = marks[:, 0] / marks[:, 0].std() + noise
    assert audit_signals(half, drawn, GROUP)["format_share"] == pytest.approx(0.5, abs=0.08)
    assert audit_signals(noise, drawn, GROUP)["format_share"] < 0.02


def test_nothing_is_said_where_nothing_varies():
    drawn = features()
    assert np.isnan(list(audit_signals(np.ones(64), drawn, GROUP).values())).all()
    assert np.isnan(list(audit_signals(np.full(64, np.nan), drawn, GROUP).values())).all()
    drawn[:, 2:] = 3
    assert np.isnan(audit_signals(drawn[:, 0], drawn, GROUP)["format_share"])


def test_rows_without_a_reward_are_left_out():
    drawn = features()
    rewards = drawn[:, 0].copy()
    rewards[::3] = np.nan
    assert audit_signals(rewards, drawn, GROUP)["length"] == pytest.approx(1.0)


def test_ranks_are_those_of_scipy_within_each_group_up_to_a_shift():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2, 3], [4, 1, 6, 3])
    values = rng.integers(0, 3, len(groups)).astype(float)
    found = _ranks(values, groups)
    for group in range(4):
        ours, theirs = found[groups == group], rankdata(values[groups == group])
        assert list(ours - ours.min()) == list(theirs - theirs.min())
    assert len(_ranks(values[:0], groups[:0])) == 0

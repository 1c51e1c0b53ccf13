import numpy as np
import pytest
from scipy.stats import rankdata

from align.training.reward_records import (
    audit_signals,
    phrase_signal,
    ranks_within,
    repetition,
    shared_phrases,
    text_features,
)

GROUP = 8


def features(count=64):
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, 6, (count, 7)).astype(float)
    drawn[:, 0] = rng.permutation(count)
    return drawn


def test_features_are_counted():
    text = "# Why\n- **one**\n2. two\n<think>x</think> \\boxed{3} [citation]"
    assert text_features([text], [17]).tolist() == [[17, 0.0, 3, 2, 3, 4, 7]]
    assert text_features(["plain words"], [2]).tolist() == [[2, 0, 0, 0, 0, 0, 0]]
    assert text_features([], []).shape == (0, 7)


@pytest.mark.parametrize(
    ("text", "share"), [("", 0.0), ("a b c", 0.0), ("a b c d e f g", 0.0), ("so it is so " * 9, 0.879)]
)
def test_repetition_is_the_share_of_runs_seen_before(text, share):
    assert repetition(text) == share


def test_a_reward_that_is_length_is_found():
    drawn = features()
    found = audit_signals(np.sqrt(drawn[:, 0]), drawn, GROUP)
    assert found["length"].value == pytest.approx(1.0)
    assert abs(found["repetition"].value) < 0.4
    assert audit_signals(-drawn[:, 0], drawn, GROUP)["length"].value == pytest.approx(-1.0)


def test_only_differences_within_a_prompt_count():
    drawn = features()
    drawn[:, 0] += 1000 * (np.arange(64) // GROUP)  # prompts with long answers
    rewards = np.random.default_rng(1).normal(size=64) + 1000 * (np.arange(64) // GROUP)  # are easy
    assert abs(audit_signals(rewards, drawn, GROUP)["length"].value) < 0.4
    assert np.corrcoef(rewards, drawn[:, 0])[0, 1] > 0.99


def test_nothing_is_said_where_nothing_varies():
    drawn = features()
    assert np.isnan([each.value for each in audit_signals(np.ones(64), drawn, GROUP).values()]).all()
    assert np.isnan([each.value for each in audit_signals(np.full(64, np.nan), drawn, GROUP).values()]).all()
    drawn[:, 2:] = 3
    assert np.isnan(audit_signals(drawn[:, 0], drawn, GROUP)["format"].value)


def test_rows_without_a_reward_are_left_out():
    drawn = features()
    rewards = drawn[:, 0].copy()
    rewards[::3] = np.nan
    assert audit_signals(rewards, drawn, GROUP)["length"].value == pytest.approx(1.0)


def test_comparisons_are_the_variance_that_permuted_rewards_have():
    drawn, rng = features(24), np.random.default_rng(2)
    drawn[:, 1] = np.where(rng.random(24) < 0.2, drawn[:, 1], 0)  # hardly any text repeats itself
    rewards = (np.arange(24) % 3 == 0).astype(float)
    mixed = [rng.permuted(rewards.reshape(-1, GROUP), axis=1).ravel() for _ in range(3000)]
    found = [audit_signals(each, drawn, GROUP) for each in mixed]
    for name in ("length", "repetition", "format"):
        expected = np.var([each[name].value for each in found])
        assert 1 / found[0][name].n == pytest.approx(expected, rel=0.1)
    assert found[0]["length"].n == pytest.approx(21)


def test_tags_and_their_lines_are_no_marks_that_a_reward_goes_up_with():
    plain, tagged = "It is 7.", "<think>\nIt is 7.\n</think>\n<answer>7</answer>"
    found = text_features([plain, tagged, f"{tagged}\n- **so**"], [3, 9, 12])
    assert found[:, 6].tolist() == [0, 0, 3]
    assert found[:, 2:6].sum(axis=1).tolist() == [0, 7, 11]


def test_ranks_are_those_of_scipy_within_each_group_up_to_a_shift():
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2, 3], [4, 1, 6, 3])
    values = rng.integers(0, 3, len(groups)).astype(float)
    found = ranks_within(values, groups)
    for group in range(4):
        ours, theirs = found[groups == group], rankdata(values[groups == group])
        assert list(ours - ours.min()) == list(theirs - theirs.min())
    assert len(ranks_within(values[:0], groups[:0])) == 0


def written(seed, phrase="", groups=16):
    """Texts of drawn words with an answer; half of each group also has the phrase. Returns who has it and the gold."""
    rng = np.random.default_rng(seed)
    words = [f"w{i}" for i in range(60)]
    has = np.concatenate([rng.permutation([1, 1, 1, 1, 0, 0, 0, 0]) for _ in range(groups)])
    answers, gold = rng.integers(0, 4, groups * GROUP), np.repeat(rng.integers(0, 4, groups), GROUP)
    texts = [
        f"{phrase * one} {' '.join(rng.choice(words, 20))} <answer> {'ABCD'[answer]} </answer>"
        for one, answer in zip(has, answers, strict=True)
    ]
    return texts, has.astype(float), (answers == gold).astype(float)


def test_a_phrase_that_is_paid_for_is_found_by_name_and_right_answers_are_none():
    texts, has, right = written(0, "To be sure,")
    phrases = shared_phrases(texts, GROUP)
    value, _, name = phrase_signal(has, phrases)
    assert (round(value, 2), name) in {(1.0, "To be"), (1.0, "be sure,"), (1.0, "To"), (1.0, "be"), (1.0, "sure,")}
    assert phrase_signal(right + has, phrases)[0] > 0.6
    assert abs(phrase_signal(right, phrases)[0]) < 0.3  # a letter is right for one prompt and wrong for the next


def test_no_phrase_is_found_in_chance_however_many_words_there_are():
    values = []
    for seed in range(30):
        texts, *_ = written(seed)
        values.append(
            phrase_signal(np.random.default_rng(seed).normal(size=len(texts)), shared_phrases(texts, GROUP))[0]
        )
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values)) + 1e-9
    assert np.std(values) < 0.25


def test_rows_and_groups_that_say_nothing_of_a_phrase_count_nothing():
    texts, has, _ = written(0, "Surely")
    phrases = shared_phrases(texts, GROUP)
    some = has.copy()
    some[::GROUP] = np.nan  # no reward
    assert phrase_signal(some, phrases)[0] > 0.9
    half = np.where(np.arange(len(has)) < len(has) // 2, has, 1.0)  # the rest has no spread
    assert phrase_signal(half, phrases)[0] == pytest.approx(0.5, abs=0.01)
    assert phrase_signal(np.full(len(has), np.nan), phrases)[0] == 0
    assert np.isnan(phrase_signal(has[:GROUP], shared_phrases(texts[:GROUP], GROUP))[0])  # one prompt
    assert np.isnan(phrase_signal(has, shared_phrases([""] * len(has), GROUP))[0])

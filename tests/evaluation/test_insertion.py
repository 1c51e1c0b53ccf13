import itertools
import math

import numpy as np
import pytest
from scipy.stats import false_discovery_control
from scripted_reward import ScriptedReward

from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.suites.reward_model.phrases import (
    NEUTRAL,
    PHRASES,
    insert_phrases,
    phrase_effects,
)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def effects(attack, neutral):
    return phrase_effects({"kind": attack}, neutral)


def test_the_p_value_of_a_kind_is_the_exact_share_of_splits_of_its_phrases():
    attack, neutral = noise(3, 5) + 0.7, noise(4, 5, seed=1)
    means = np.concatenate([attack, neutral]).mean(axis=1)
    gaps = [
        means[list(some)].mean() - np.delete(means, list(some)).mean() for some in itertools.combinations(range(7), 3)
    ]
    observed = attack.mean() - neutral.mean()
    upper, lower = np.mean(np.array(gaps) >= observed - 1e-12), np.mean(np.array(gaps) <= observed + 1e-12)
    found = effects(attack, neutral)
    assert found.kinds["kind"].p_value == pytest.approx(min(1, 2 * min(upper, lower)))
    np.testing.assert_allclose(found.excess["kind"], attack.mean(axis=0) - neutral.mean(axis=0))


def test_p_values_are_adjusted_over_all_kinds():
    attacks = {name: noise(3, 20, seed=i) + i for i, name in enumerate(("a", "b", "c"))}
    found = phrase_effects(attacks, noise(5, 20, seed=9)).kinds.values()
    expected = false_discovery_control([effect.p_value for effect in found])
    np.testing.assert_allclose([effect.adjusted_p_value for effect in found], expected)


@pytest.mark.nightly
def test_phrases_that_are_like_neutral_ones_rarely_seem_different():
    p_values = [effects(noise(4, 10, seed=i), noise(8, 10, seed=1000 + i)).kinds["kind"].p_value for i in range(100)]
    assert 0 < np.mean(np.array(p_values) <= 0.05) <= 0.1


def test_responses_that_are_too_long_with_a_phrase_are_left_out_of_every_comparison():
    attack, neutral = noise(2, 6), noise(3, 6, seed=1)
    broken = attack.copy()
    broken[1, 2] = math.nan
    whole, left = effects(np.delete(attack, 2, axis=1), np.delete(neutral, 2, axis=1)), effects(broken, neutral)
    np.testing.assert_array_equal(np.delete(left.excess["kind"], 2), whole.excess["kind"])
    assert math.isnan(left.excess["kind"][2])
    assert left.kinds == whole.kinds
    nothing = effects(np.full((2, 6), math.nan), neutral)
    assert math.isnan(nothing.kinds["kind"].p_value)


def test_a_model_that_likes_flattery_is_found_and_no_other_kind():
    model = ScriptedReward(lambda prompt, response: 2.0 * response.startswith(PHRASES["flattery"]) + len(response) % 7)
    result = insert_phrases(model, [f"q{i}" for i in range(30)], [f"answer {'x' * i}" for i in range(30)], scale=2.0)
    adjusted = {name: kind.adjusted_p_value for name, kind in result.kinds.items()}
    assert adjusted.pop("flattery") < 0.05
    assert min(adjusted.values()) > 0.05
    assert result.excess["flattery"].mean() == pytest.approx(1.0, abs=0.3)  # 2.0 in units of 2.0, beside the lengths


def test_a_model_that_likes_length_sees_no_difference_to_neutral_phrases_of_the_same_length():
    model = ScriptedReward(lambda prompt, response: len(response))
    result = insert_phrases(model, ["q"] * 10, [f"answer {'x' * i}" for i in range(10)], scale=1.0)
    assert min(kind.adjusted_p_value for kind in result.kinds.values()) > 0.05


def test_phrases_are_as_long_as_neutral_ones_and_none_is_twice_in_the_bank():
    neutral = np.mean([len(phrase) for phrase in NEUTRAL])
    for kind in PHRASES.values():
        assert 0.9 < np.mean([len(phrase) for phrase in kind]) / neutral < 1.1
    phrases = [*NEUTRAL, *(phrase for kind in PHRASES.values() for phrase in kind)]
    assert len(set(phrases)) == len(phrases) == 28


def test_models_that_cannot_read_other_responses_are_not_told_apart_whatever_these_would_say():
    attack, neutral = noise(2, 40), noise(3, 40, seed=1)
    means = []
    for too_long in (4, 9):
        broken = attack.copy()
        broken[0, too_long] = math.nan
        means.append(ItemMean((effects(broken, neutral).excess["kind"],), bounds=None))
    difference = means[0].difference(means[1])
    assert (difference.value, difference.n, difference.verdict()) == (0.0, 0, None)

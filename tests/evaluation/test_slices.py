import math

import numpy as np
import pytest
from planted import clean_pairs, with_cue
from scipy.stats import norm

from align.auditing.features import Features
from align.auditing.sides import Sides
from align.data.pairs.reward_bench import BenchPair
from align.evaluation.suites.reward_model.slices import arrange_slices, compare_margins, find_slices


def pair(i, chosen, rejected, prompt=None):
    return BenchPair(f"p{i}", prompt or f"question {i}", chosen, rejected, i + 1, None, None)


def planted_pairs(num, seed=0):
    rows = with_cue(clean_pairs(num, seed), 0.3, 0.3, seed)
    return [pair(i, row["chosen"], row["rejected"], row["prompt"]) for i, row in enumerate(rows)]


def small():
    """Ten pairs in which only the chosen response has "zeal", ten in which only the rejected has, ten with neither."""
    pairs = [pair(i, "zeal stone", "alfa stone") for i in range(10)]
    pairs += [pair(10 + i, "alfa stone", "zeal stone") for i in range(10)]
    pairs += [pair(20 + i, "iron stone", "iron stone") for i in range(10)]
    margins = [*range(1, 11), *range(-1, -11, -1), *[0.5] * 5, *[-0.5] * 5]
    return pairs, np.array(margins, dtype=float)


def test_a_small_case_by_hand():
    found = find_slices(*small())
    zeal, alfa = found.found
    assert (zeal.feature, alfa.feature) == ('"zeal"', '"alfa"')
    assert (zeal.favour.value, alfa.favour.value) == (5.5, -5.5)  # (5.5 - -5.5) / 2, and the other way round
    assert (zeal.only_chosen.value, zeal.only_chosen.n) == (5.5, 10)
    assert (zeal.only_rejected.value, zeal.only_rejected.n) == (-5.5, 10)
    # U = 100 of 100, by its normal approximation with a correction of one half; every test here has this p-value
    p_value = 2 * norm.sf((100 - 50 - 0.5) / math.sqrt(10 * 10 * 21 / 12))
    assert zeal.adjusted_p_value == alfa.adjusted_p_value == pytest.approx(p_value)
    assert ("begins with", "zeal") in [(kind, name) for name, kind in zeal.names]


def test_margins_are_divided_by_the_scale():
    pairs, margins = small()
    assert find_slices(pairs, margins, scale=2.0).found[0].favour.value == 2.75


def test_a_model_that_is_right_more_often_favours_no_word_by_that():
    pairs, margins = small()
    right = margins.copy()
    right[10:20] *= -1  # as far above 0 on both sides: the word tells nothing, the quality everything
    assert find_slices(pairs, right).found == []
    assert find_slices(pairs, margins + 100).found[0].favour.value == 5.5


def test_pairs_of_one_prompt_count_once():
    pairs, margins = small()
    of_one = [pair(each.row, each.chosen, each.rejected, "one question") for each in pairs]
    assert find_slices(of_one, margins).num_tested == 0


def test_intervals_are_over_prompts_and_not_over_their_pairs():
    pairs, margins = small()
    once, twice = (find_slices(pairs * times, np.tile(margins, times)).found[0] for times in (1, 2))
    assert twice.favour == pytest.approx(once.favour)
    assert twice.only_rejected == pytest.approx(once.only_rejected)


def test_pairs_without_a_margin_are_left_out():
    pairs, margins = small()
    margins[0] = np.nan
    found = find_slices(pairs, margins)
    assert (found.num_pairs, found.found) == (29, [])  # nine prompts on one side are too few
    assert find_slices(pairs, np.full(30, np.nan)).num_pairs == 0
    nothing = find_slices([], np.zeros(0))
    assert (nothing.found, nothing.num_tested, nothing.num_pairs) == ([], 0, 0)


def test_equal_margins_say_nothing():
    pairs, margins = small()
    found = find_slices(pairs, np.zeros_like(margins))
    assert found.num_tested > 0
    assert found.found == []


@pytest.mark.parametrize("sign", [1, -1])
def test_a_phrase_that_a_model_favours_is_found_as_one(sign):
    pairs = planted_pairs(300)
    noise = np.random.default_rng(0).normal(0.5, 1, len(pairs))
    has = [("to be sure" in each.chosen, "to be sure" in each.rejected) for each in pairs]
    margins = noise + sign * np.array([float(ours) - theirs for ours, theirs in has])
    found = find_slices(pairs, margins).found[0]
    assert {name for name, _ in found.names} >= {"to be", "be sure"}
    assert found.favour.low < sign < found.favour.high
    assert found.adjusted_p_value < 1e-6


def test_of_a_model_that_likes_length_only_length_is_found():
    pairs = planted_pairs(300)
    noise = np.random.default_rng(1).normal(0, 0.2, len(pairs))
    margins = np.array([len(each.chosen) - len(each.rejected) for each in pairs]) / 40 + noise
    found = find_slices(pairs, margins)
    assert [each.feature for each in found.found] == ["more characters"]
    assert found.num_by_length > 10


def world(seed, planted, num_pairs=400, num_words=60):
    """Draws pairs whose responses have each of 61 words by chance, and margins that one of these may move."""
    draw = np.random.default_rng(seed)
    has = draw.random((2 * num_pairs, num_words + 1)) < 0.25
    text, word = np.nonzero(has)
    names = [*(f"word {i}" for i in range(num_words)), "planted"]
    features = Features(text, word, names, ["word"] * len(names), np.full((2 * num_pairs, 8), 100))
    margins = draw.normal(0.5, 1, num_pairs) + planted * (has[::2, -1].astype(float) - has[1::2, -1])
    both = np.repeat(np.arange(num_pairs), 2), np.tile([True, False], num_pairs), np.arange(num_pairs)
    sides = Sides(*both, are_pairs=True)
    return arrange_slices(compare_margins(sides, features, margins), margins, sides.cluster)


@pytest.mark.parametrize("worlds", [4, pytest.param(50, marks=pytest.mark.nightly)])
def test_the_test_reports_no_innocent_word(worlds):
    clean = [world(seed, planted=0.0) for seed in range(worlds)]
    planted = [world(seed, planted=1.0) for seed in range(worlds)]
    assert all(each.num_tested == 61 for each in clean)
    assert np.mean([len(each.found) for each in clean]) <= 0.15
    found = [{each.names[0][0]: each for each in world.found} for world in planted]
    assert all("planted" in each for each in found)
    assert np.mean([len(each) - 1 for each in found]) <= 0.3  # beside a true one the rate allows more false ones

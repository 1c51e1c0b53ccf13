import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_reward import ScriptedReward

from align.data.pairs.candidates import Candidates
from align.errors import DataError
from align.evaluation.suites.reward_model.best_of_n import (
    NUM_ORDERS,
    best_of_n_weights,
    choose_best,
    curve_points,
    expected_best_of_n,
    king_of_the_hill,
)

SCORES = st.lists(st.integers(0, 4), min_size=1, max_size=6)


def by_enumeration(scores, quality, n):
    """The mean over all subsets, where the best of a subset is a random one of those with the highest score."""
    means = []
    for subset in itertools.combinations(range(len(scores)), n):
        top = max(scores[i] for i in subset)
        means.append(np.mean([quality[i] for i in subset if scores[i] == top]))
    return np.mean(means)


@given(scores=SCORES, data=st.data())
def test_the_estimate_is_the_mean_over_all_subsets(scores, data):
    n = data.draw(st.integers(1, len(scores)))
    quality = [data.draw(st.floats(-10, 10)) for _ in scores]
    assert expected_best_of_n(scores, quality, n) == pytest.approx(by_enumeration(scores, quality, n), abs=1e-9)


@given(scores=SCORES, data=st.data())
def test_weights_are_chances(scores, data):
    weights = best_of_n_weights(scores, data.draw(st.integers(1, len(scores))))
    assert weights.sum() == pytest.approx(1)
    assert weights.min() >= 0


def test_the_estimate_is_what_drawing_gives():
    rng = np.random.default_rng(0)
    scores, quality = rng.normal(size=12).round(1), rng.normal(size=12)
    subsets = rng.random((20_000, 12)).argsort(1)[:, :5]
    best = (scores[subsets] + rng.random(subsets.shape) / 100).argmax(1)  # chance decides among equals
    drawn = quality[subsets[np.arange(len(subsets)), best]]
    error = np.std(drawn) / math.sqrt(len(drawn))
    assert expected_best_of_n(scores, quality, 5) == pytest.approx(np.mean(drawn), abs=4 * error)


def test_best_of_one_is_the_mean_and_best_of_all_is_the_best():
    scores, quality = [3.0, 1.0, 2.0], [0.0, 1.0, 0.5]
    assert expected_best_of_n(scores, quality, 1) == pytest.approx(0.5)
    assert expected_best_of_n(scores, quality, 3) == 0.0
    assert expected_best_of_n([5, 5, 5], quality, 2) == pytest.approx(0.5)


@pytest.mark.parametrize("n", [0, 4])
def test_n_lies_between_1_and_the_number_of_responses(n):
    with pytest.raises(ValueError, match=f"between 1 and the 3 responses, got {n}"):
        best_of_n_weights([1, 2, 3], n)


def test_a_score_that_is_missing_is_not_ranked():
    with pytest.raises(ValueError, match="got nan"):
        best_of_n_weights([1.0, math.nan], 1)


def test_a_tournament_by_hand():
    asked = []

    def compare(matches):
        asked.append(matches)
        strength = {0: 1, 1: 3, 2: 2, 3: 3}
        return [strength[challenger] - strength[champion] for _, challenger, champion in matches]

    champions = king_of_the_hill([[0, 2, 1, 3], [3, 1, 0, 2]], [0, 0], compare)
    assert champions == [[0, 2, 1, 1], [3, 3, 3, 3]]  # 1 and 3 are equal: the champion stays
    assert asked[0] == [(0, 2, 0), (0, 1, 3)]
    assert asked[1] == [(0, 1, 2), (0, 0, 3)]
    assert asked[2] == [(0, 2, 3)]  # 3 against 1 is known from the other tournament, with the sides changed


def test_tournaments_of_unequal_length_end_when_they_end():
    def compare(matches):
        return [challenger - champion for _, challenger, champion in matches]

    assert king_of_the_hill([[1, 0], [0, 1, 2], [0]], [0, 1, 2], compare) == [[1, 1], [0, 1, 2], [0]]
    assert king_of_the_hill([], [], compare) == []


def rows(count, size):
    rng = random.Random(0)
    texts = [tuple(f"{rng.random():.6f}" for _ in range(size)) for _ in range(count)]
    quality = [tuple(rng.random() for _ in range(size)) for _ in range(count)]
    return [Candidates(f"r{i}", f"q{i}", texts[i], quality[i], i) for i in range(count)]


def test_a_scalar_model_chooses_the_highest_reward_of_equal_ones_the_first():
    row = Candidates("a", "?", ("bb", "a", "cc", ""), (0.1, 0.2, 0.3, 0.4), 1)
    (choice,) = choose_best(ScriptedReward(lambda prompt, response: len(response)), [row])
    assert choice.best == 0
    assert choice.scores.tolist() == [2, 1, 2, 0]
    assert choice.quality == pytest.approx([0.25, (5 * 0.2 + 1 * 0.2) / 6, 0.2])  # n = 1, 2, 4


def test_a_pairwise_model_with_the_same_preferences_agrees_with_the_scalar_one():
    data = rows(40, 8)
    prefer = lambda prompt, response: float(response)  # noqa: E731
    scalar = choose_best(ScriptedReward(prefer), data)
    model = ScriptedReward(prefer, pairwise=True)
    pairwise = choose_best(model, data)
    assert [choice.best for choice in pairwise] == [choice.best for choice in scalar]
    assert model.calls == 7  # one batch per challenger, whatever the number of prompts
    quality = np.array([choice.quality for choice in pairwise])
    expected = np.array([choice.quality for choice in scalar])
    np.testing.assert_allclose(quality[:, -1], expected[:, -1])
    assert np.abs(quality.mean(axis=0) - expected.mean(axis=0)).max() < 4 * 0.29 / math.sqrt(40 * NUM_ORDERS)


def test_the_orders_of_tournaments_depend_on_the_seed_only():
    data = rows(5, 6)
    coin = ScriptedReward(lambda prompt, response: 0.0, pairwise=True)  # the first to arrive stays
    chosen = [[choice.best for choice in choose_best(coin, data, seed=seed)] for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_without_quality_something_is_chosen_and_nothing_estimated():
    row = Candidates("a", "?", ("x", "yy"), None, 1)
    for pairwise in (False, True):
        (choice,) = choose_best(ScriptedReward(lambda prompt, text: len(text), pairwise=pairwise), [row])
        assert (choice.best, choice.quality) == (1, None)


@pytest.mark.parametrize("pairwise", [False, True])
def test_candidates_that_are_too_long_stop_the_choice(pairwise):
    model = ScriptedReward(lambda prompt, text: len(text), pairwise=pairwise, max_length=3)
    with pytest.raises(DataError, match=r"1 of [12] candidates are too long"):
        choose_best(model, [Candidates("a", "?", ("x", "yyyy"), None, 1)])


@pytest.mark.parametrize("pairwise", [False, True])
def test_candidates_without_a_number_stop_the_choice_and_are_not_called_long(pairwise):
    model = ScriptedReward(lambda prompt, text: float(text), pairwise=pairwise)
    with pytest.raises(DataError, match=r"1 of [12] candidates are given no finite number by the model, and"):
        choose_best(model, [Candidates("a", "?", ("1", "nan"), None, 1)])


@pytest.mark.parametrize(
    ("sizes", "points"), [([1], [1]), ([2, 5], [1, 2]), ([5], [1, 2, 4, 5]), ([8, 9], [1, 2, 4, 8])]
)
def test_the_curve_has_powers_of_two_up_to_the_fewest_candidates(sizes, points):
    assert curve_points([Candidates(str(size), "?", ("x",) * size, None, 1) for size in sizes]) == points

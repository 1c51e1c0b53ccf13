import math

import numpy as np
import pytest
from scripted_reward import ScriptedReward

from align.data.pairs.reward_bench import BenchPair
from align.evaluation.suites.reward_model.phrases import compare_phrases, gains_of, measure_phrases, neutral_words

PAIRS = [
    BenchPair(f"p{i}", f"q{i}", f"right {'x' * i}", f"wrong {'y' * (i % 7)}", i + 1, None, None) for i in range(20)
]


def quality(prompt, response):
    return 2.0 * ("right" in response) + len(response) / 100


def flattered(prompt, response):
    return quality(prompt, response) + 3.0 * ("wise one" in response)


def measure(function, phrases, position="front", **settings):
    model = ScriptedReward(function, **settings)
    margins = model.margins(*([getattr(each, name) for each in PAIRS] for name in ("prompt", "chosen", "rejected")))
    return measure_phrases(model, PAIRS, margins, phrases, position=position, scale=1.0)


@pytest.mark.parametrize("pairwise", [False, True])
@pytest.mark.parametrize("position", ["front", "middle", "end"])
def test_a_phrase_that_is_paid_for_raises_whatever_has_it(position, pairwise):
    found = measure(flattered, ["wise one", "tall tree"], position, pairwise=pairwise)
    paid, other = found.phrases
    assert paid.chosen.value == pytest.approx(3.0 + 9 / 100)  # beside the phrase, its nine characters
    assert paid.rejected.value == pytest.approx(-3.0 - 9 / 100)
    assert paid.both.value == pytest.approx(0.0)
    neutral = np.mean([len(words) + 1 for words in neutral_words(2)]) / 100
    assert paid.gain.value == pytest.approx(3.0 + 9 / 100 - neutral)
    assert (paid.moves, other.moves) == (True, False)
    means = {name: mean.estimate().value for name, mean in found.means().items()}
    # all were right; with "wise one" in the rejected response none is, with "tall tree" all are: half of all is lost
    assert means["accuracy_drop/phrases_in_rejected"] == 0.5
    assert means["accuracy_drop/phrases_in_chosen"] == means["accuracy_drop/phrases_in_both"] == 0.0
    assert means["phrase_gain"] == pytest.approx((paid.gain.value + other.gain.value) / 2)


def test_a_phrase_that_lowers_scores_moves_them_too():
    found = measure(lambda prompt, response: 1.0 - ("sorry" in response), ["sorry"]).phrases[0]
    assert (found.gain.value, found.moves) == (-1.0, True)


def test_what_moves_the_margin_on_one_side_only_is_half_a_gain():
    changes = np.array([[[1.0, 3.0], [0.0, 0.0], [1.0, 3.0]], [[2.0, 2.0], [2.0, 2.0], [4.0, 4.0]]])
    assert gains_of(changes).tolist() == [[0.5, 1.5], [0.0, 0.0]]


def test_a_phrase_has_to_do_more_than_runs_of_neutral_words_differ():
    draw = np.random.default_rng(0)
    gain = 1.0 + 0.01 * draw.normal(size=40)
    changes = np.stack([gain, -gain, np.zeros(40)])[None]
    neutral = np.stack([np.full(40, level) for level in (0.0, 0.1, 0.2, 0.9)])
    found = compare_phrases(["sure"], np.ones(40), changes, [neutral]).phrases[0]
    assert found.gain.low > 0.6  # sure to be another one than their mean, and not unlike them
    assert (found.adjusted_p_value > 0.1, found.moves) == (True, False)
    found = compare_phrases(["sure"], np.ones(40), changes, [neutral[:3]]).phrases[0]
    assert (found.adjusted_p_value < 0.02, found.moves) == (True, True)


def test_pairs_of_one_prompt_are_one_item_to_a_phrase():
    gain = 0.5 + np.random.default_rng(0).normal(size=8)
    changes, neutral = np.stack([gain, -gain, np.zeros(8)])[None], 0.01 * np.random.default_rng(1).normal(size=(8, 8))
    (once,) = compare_phrases(["sure"], np.ones(8), changes, [neutral]).phrases
    given = ["sure"], np.ones(24), np.tile(changes, 3), [np.tile(neutral, 3)]
    (apart,), (found,) = (
        compare_phrases(*given, prompts=prompts).phrases for prompts in (None, np.tile(np.arange(8), 3))
    )
    assert apart.p_value < once.p_value / 2
    assert found.p_value == pytest.approx(once.p_value)
    assert found.gain.n == once.gain.n == 8


def test_pairs_that_are_too_long_with_a_phrase_are_left_out_of_it():
    found = measure(flattered, ["wise one", "w" * 60], max_length=70)
    short, long = found.phrases
    assert short.gain.n == 20
    assert long.gain.n == 4  # 60 characters, a space, and responses of 6 to 9
    nothing = measure(flattered, ["w" * 200], max_length=70).phrases[0]
    assert (nothing.gain.n, nothing.moves) == (0, False)
    assert math.isnan(nothing.adjusted_p_value)
    assert not any(math.isnan(each) for each in (short.adjusted_p_value, short.gain.value))

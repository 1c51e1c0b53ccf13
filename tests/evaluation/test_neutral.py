import math

import numpy as np
import pytest
from scipy.stats import ttest_1samp, ttest_ind

from align.auditing.significance import FALSE_DISCOVERIES, adjust
from align.evaluation.suites.reward_model.phrases import neutral_words, unlike_neutral


def a_world(phrases, responses, seed, planted=0.0, neutral=16):
    """Texts move scores by numbers with a spread of 0.1, the first one by `planted` more; then the neutral ones."""
    draw = np.random.default_rng(seed)
    effects = 0.1 * draw.normal(size=phrases + neutral)
    effects[0] += planted
    own = 0.3 * draw.normal(size=responses)  # what any text does to a response
    changes = effects[:, None] + own + 0.2 * draw.normal(size=(phrases + neutral, responses))
    return changes[:phrases], changes[phrases:]


def found(phrases, responses, seed, planted=0.0):
    changes, neutral = a_world(phrases, responses, seed, planted)
    return adjust(np.array([unlike_neutral(each, neutral) for each in changes])) <= FALSE_DISCOVERIES


@pytest.mark.parametrize(("phrases", "responses"), [(1, 100), (5, 100), (20, 100), (20, 8)])
def test_innocent_phrases_are_rarely_unlike_neutral_ones_however_many_responses_there_are(phrases, responses):
    alarms = sum(found(phrases, responses, seed).any() for seed in range(100))
    assert alarms <= 100 * FALSE_DISCOVERIES + 2.5 * math.sqrt(100 * 0.05 * 0.95)


def test_one_phrase_of_a_thousand_is_found():
    for seed in range(2):
        counts = found(1000, 60, seed, planted=1.5)
        assert counts[0]
        assert counts.sum() <= 5  # which are not independent: all are held against the same neutral ones


def test_the_p_value_is_the_larger_one_of_two_t_tests():
    for level in (0.0, 0.2, 1.0):
        changes, neutral = (each[0] if k == 0 else each for k, each in enumerate(a_world(1, 30, 3, planted=level)))
        over_phrases = ttest_ind([changes.mean()], neutral.mean(axis=1)).pvalue
        over_responses = ttest_1samp(changes - neutral.mean(axis=0), 0.0).pvalue
        assert unlike_neutral(changes, neutral) == pytest.approx(max(over_phrases, over_responses, 2.0**-29))


def test_few_responses_are_no_proof_even_if_they_are_all_alike():
    neutral = np.zeros((4, 3))
    assert unlike_neutral(np.ones(3), neutral) == 0.25  # 2 of the 8 ways to sign them
    assert unlike_neutral(np.zeros(3), neutral) == 1.0
    assert math.isnan(unlike_neutral(np.ones(1), neutral[:, :1]))


def test_responses_to_one_prompt_are_one_item():
    changes, neutral = (
        np.random.default_rng(0).normal(0.5, size=10),
        0.01 * np.random.default_rng(1).normal(size=(8, 10)),
    )
    once, prompts = unlike_neutral(changes, neutral), np.tile(np.arange(10), 3)
    assert unlike_neutral(np.tile(changes, 3), np.tile(neutral, 3), prompts) == pytest.approx(once)
    assert unlike_neutral(np.tile(changes, 3), np.tile(neutral, 3)) < once / 2
    assert math.isnan(unlike_neutral(changes, neutral, np.zeros(10, dtype=int)))


@pytest.mark.parametrize("count", [1, 3, 10, 20, 21, 100, 200])
def test_neutral_words_are_as_many_as_those_of_the_phrase_and_no_run_is_there_twice(count):
    runs = neutral_words(count)
    assert {len(run.split()) for run in runs} == {count}
    assert len(set(runs)) == len(runs) >= 2
    assert len(runs) > 12 or count > 20
    assert runs[0].startswith("The")

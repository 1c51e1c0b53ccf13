import math

import numpy as np
import pytest
from scipy.stats import spearmanr

from align.data.pairs.reward_bench import SECTIONS, BenchPair
from align.evaluation.statistics.metrics import pair_accuracy, wilson
from align.evaluation.suites.reward_model.pair_metrics import accuracy_by_category, rank_correlation


def pair(name, subset=None, category=None):
    return BenchPair(name, f"{name}?", "good", "bad", 1, subset, category)


def test_equal_scores_count_one_half_and_unscored_pairs_not_at_all():
    np.testing.assert_array_equal(pair_accuracy([0.1, -0.1, 0.0, math.nan]), [1, 0, 0.5, math.nan])


def test_categories_are_means_over_their_pairs():
    pairs = [pair("1", category="a"), pair("2", category="a"), pair("3", category="b"), pair("4")]
    metrics = accuracy_by_category(pairs, np.array([1.0, 0.0, 1.0, 1.0]))
    assert set(metrics) == {"accuracy", "accuracy/a", "accuracy/b"}
    assert metrics["accuracy"].estimate() == wilson(3, 4)
    assert metrics["accuracy/a"].estimate() == pytest.approx(wilson(1, 2), abs=1e-12)


def test_reward_bench_is_the_mean_of_its_sections_with_mathematics_as_heavy_as_code():
    right = {"chat": 4, "chat-hard": 1, "safety": 2}  # of 4 pairs each
    pairs, values = [], []
    for section, number in right.items():
        pairs += [pair(f"{section}{i}", SECTIONS[section][i], section) for i in range(4)]
        values += [1.0] * number + [0.0] * (4 - number)
    pairs += [pair("m", "math-prm", "reasoning"), *(pair(f"c{i}", "hep-go", "reasoning") for i in range(9))]
    values += [0.0] + [1.0] * 9
    metrics = accuracy_by_category(pairs, np.array(values))
    assert metrics["accuracy/reasoning"].estimate().value == pytest.approx(0.5)  # (0 / 1 + 9 / 9) / 2
    assert metrics["reward_bench"].estimate().value == pytest.approx((1 + 0.25 + 0.5 + 0.5) / 4)
    assert metrics["accuracy"].estimate().value == pytest.approx((4 + 1 + 2 + 9) / 22)


def test_pairs_of_one_prompt_are_one_item():
    rng = np.random.default_rng(0)
    prompts, each, worlds, truth = 60, 8, 50, 0.625
    pairs = [BenchPair(f"{i}", f"{i % prompts}?", "good", "bad", 1, None, "a") for i in range(prompts * each)]
    covered = told = 0
    for _ in range(worlds):
        rates = rng.beta(1.0, 0.6, size=(2, prompts))  # of two models that are as good, each at prompts of its own
        ours, theirs = (rng.random((each, prompts)) < of_model for of_model in rates)
        ours, theirs = (accuracy_by_category(pairs, 1.0 * right.ravel()) for right in (ours, theirs))
        found, difference = ours["accuracy/a"].estimate(), ours["accuracy"].difference(theirs["accuracy"])
        assert found.n == difference.n == prompts
        covered += found.low <= truth <= found.high
        told += not difference.low <= 0 <= difference.high
    assert covered >= 0.88 * worlds  # as independent items: 0.65
    assert told <= 0.12 * worlds  # and 0.26
    same = ours["accuracy"].difference(ours["accuracy"])
    assert same.low < same.value == 0 < same.high


def test_prompts_with_more_pairs_weigh_more():
    pairs = [BenchPair(f"{i}", "a" if i < 3 else "b", "good", "bad", 1, None, None) for i in range(4)]
    right = np.array([1.0, 1.0, 0.0, 1.0])
    (metric,) = accuracy_by_category(pairs, right).values()
    assert metric.estimate().value == 0.75
    (wrong,) = accuracy_by_category(pairs, 1 - right).values()
    assert metric.difference(wrong).value == pytest.approx(0.5)


def test_there_is_no_reward_bench_score_of_three_sections():
    pairs = [pair(section, SECTIONS[section][0], section) for section in ("chat", "safety", "reasoning")]
    assert "reward_bench" not in accuracy_by_category(pairs, np.ones(3))


def test_a_rank_correlation_that_no_resample_changes_has_no_interval():
    estimate = rank_correlation(range(40), range(40))
    assert estimate.value == pytest.approx(1)
    assert math.isnan(estimate.low)


def test_rank_correlation_is_spearmans_with_an_interval_around_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)
    estimate = rank_correlation(x, y)
    assert estimate.value == pytest.approx(spearmanr(x, y).statistic)
    assert 0.1 < estimate.high - estimate.low < 0.3  # 2 * 1.96 / sqrt(200) of a normal, narrowed by the correlation
    assert estimate.low < estimate.value < estimate.high
    assert rank_correlation(x, -y).value == pytest.approx(-estimate.value)


def test_the_interval_of_no_correlation_holds_0_about_95_percent_of_the_time():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        estimate = rank_correlation(rng.normal(size=40), rng.normal(size=40))
        hits += estimate.low <= 0 <= estimate.high
    assert hits >= 52


def test_what_does_not_vary_has_no_correlation():
    assert math.isnan(rank_correlation([1.0, 2.0, 3.0], [5, 5, 5]).value)
    assert math.isnan(rank_correlation([1.0, math.nan, 3.0], [1, 2, 3]).value)


def test_a_correlation_of_prompts_counts_prompts():
    rng, prompts, each, worlds = np.random.default_rng(0), 30, 6, 40
    codes, covered = np.repeat(np.arange(prompts), each), 0
    for _ in range(worlds):
        x, y = (rng.normal(size=prompts)[codes] + rng.normal(size=prompts * each) / 2 for _ in range(2))
        found = rank_correlation(x, y, clusters=codes)
        assert found.n == prompts
        covered += found.low <= 0 <= found.high
    assert covered >= 0.8 * worlds  # as independent items: 0.6
    assert found.value == rank_correlation(x, y).value
    alone = np.arange(len(x))
    assert rank_correlation(x, y, clusters=alone) == rank_correlation(x, y)

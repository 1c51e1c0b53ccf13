import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from align.evaluation.statistics.item_means import total_variation
from align.evaluation.statistics.metrics import (
    Estimate,
    accuracy,
    bootstrap,
    cr_wa,
    mcnemar,
    mean_of_differences,
    mean_over_seeds,
    option_shuffle_consistency,
    share,
    trace_answer_consistency,
    wilson,
    wr_ca,
)

choices = st.one_of(st.none(), st.integers(0, 3))


def test_wilson_is_the_score_interval_worked_by_hand():
    z, k, n = 1.959964, 8, 10
    centre = (k / n + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(0.8 * 0.2 / n + z**2 / (4 * n**2))
    estimate = wilson(k, n)
    assert estimate[:4] == pytest.approx((0.8, centre - half, centre + half, 10), abs=1e-5)


def test_a_share_of_nothing_is_not_a_number():
    estimate = wilson(0, 0)
    assert math.isnan(estimate.value)
    assert estimate.n == 0
    assert str(estimate) == "no data"


def test_more_successes_than_items_is_refused():
    with pytest.raises(ValueError, match="got 3 of 2"):
        wilson(3, 2)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.9])
def test_wilson_covers_the_true_share_about_95_percent_of_the_time(share):
    n = 60
    estimates = [wilson(k, n) for k in range(n + 1)]
    covered = [binom.pmf(k, n, share) for k, e in enumerate(estimates) if e.low <= share <= e.high]
    assert 0.92 <= sum(covered) <= 0.98


def test_paired_difference_covers_the_true_difference_about_95_percent_of_the_time():
    rng = np.random.default_rng(0)
    hits, gap = 0, _true_gap()
    for seed in range(400):
        easy = rng.random(100)  # the same question is easy or hard for both: the pairing matters
        a, b = easy < 0.7, (easy + rng.normal(0, 0.1, 100)) < 0.6
        estimate = mean_of_differences(np.subtract(a, b, dtype=float), seed=seed)
        hits += estimate.low <= gap <= estimate.high
    assert 0.91 <= hits / 400 <= 0.985


def _true_gap() -> float:
    rng = np.random.default_rng(1)
    easy = rng.random(2_000_000)
    return float(np.mean(easy < 0.7) - np.mean(easy + rng.normal(0, 0.1, easy.size) < 0.6))


def test_pairing_narrows_the_interval_of_correlated_items():
    rng = np.random.default_rng(0)
    a = rng.random(400) < 0.6
    b = a.copy()
    b[:20] = False
    paired = mean_of_differences(np.subtract(a, b, dtype=float))
    shuffled = mean_of_differences(np.subtract(a, rng.permutation(b), dtype=float))
    assert paired.value == pytest.approx(shuffled.value)
    assert paired.high - paired.low < 0.5 * (shuffled.high - shuffled.low)


def test_identical_answers_do_not_claim_certainty():
    estimate = mean_of_differences(np.subtract([1.0] * 20, [1.0] * 20))
    assert estimate[:3] == pytest.approx((0, -0.126, 0.126), abs=1e-4)
    shifted = mean_of_differences(np.subtract([0.75] * 20, [0.5] * 20))
    unseen = wilson(0, 20).high
    assert shifted[:3] == pytest.approx((0.25, 0.25 - unseen * 1.25, 0.25 + unseen * 0.75))
    assert share([0.5] * 20)[:3] == pytest.approx((0.5, 0.5 - unseen / 2, 0.5 + unseen / 2))


def test_equal_values_without_bounds_have_no_interval():
    for values in ([0.1 + 0.2, 0.3, 0.3], [2.0] * 20, [0.0] * 3):
        for estimate in (bootstrap(values), mean_of_differences(values, bounded=False)):
            assert estimate.value == pytest.approx(values[0])
            assert math.isnan(estimate.low)
            assert str(estimate).endswith(f"(no spread among {len(values)} items: no interval)")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [([1.0] * 5, None), ([1.0] * 6, "above"), ([-2.0] * 1000, "below"), ([0.0] * 9, None), ([1.0, -1.0] * 9, None)],
)
def test_equal_values_are_told_as_the_sign_test_tells_them(values, verdict):
    found = mean_of_differences(values, bounded=False)
    assert found.verdict() == verdict
    assert found._replace(unit="seeds").verdict() is None  # equal runs are one
    assert (mcnemar(len(values), 0) < 0.05) == (found._replace(low=math.nan, value=1.0).verdict() is not None)


def test_a_verdict_says_where_the_interval_lies():
    found = Estimate(-0.3, -0.4, -0.2, 50)
    assert [found.verdict(than) for than in (0.0, -0.25, -0.2, -0.5)] == ["below", None, None, "above"]
    assert Estimate(math.nan, math.nan, math.nan, 0).verdict() is None
    assert str(Estimate(0.4, math.nan, math.nan, 0)) == "0.40 (no interval)"
    assert Estimate(0.4, math.nan, math.nan, 0).verdict() is None  # nothing bounds it


def test_the_largest_possible_difference_stays_possible():
    estimate = mean_of_differences(np.subtract([1.0] * 10, [0.0] * 10))
    assert estimate.value == estimate.high == 1
    assert 0 < estimate.low < 1


def test_paired_difference_leaves_out_pairs_with_a_missing_side():
    assert mean_of_differences(np.subtract([1, 0, 1, math.nan], [0, 0, 1, 1]))[:1] == pytest.approx((1 / 3,))


def test_bootstrap_is_the_same_for_the_same_seed():
    values = np.random.default_rng(0).random(50)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_a_tie_beside_right_answers_makes_nothing_surer():
    for n in (10, 50):
        alone, with_a_tie = share([1.0] * n), share([1.0] * (n - 1) + [0.5])
        assert with_a_tie.low < alone.low
        assert with_a_tie.low < with_a_tie.value <= with_a_tie.high <= 1


def test_intervals_of_few_values_without_bounds_cover_their_mean():
    rng = np.random.default_rng(0)
    for n in (2, 5):  # where a percentile bootstrap covers it in 52 and 86 of 100
        drawn = [bootstrap(rng.normal(size=n)) for _ in range(400)]
        assert np.mean([each.low <= 0 <= each.high for each in drawn]) > 0.92


def test_a_difference_from_nothing_is_as_sure_as_the_value():
    values = np.random.default_rng(0).normal(-26, 1, size=40)
    assert mean_of_differences(values, bounded=False) == bootstrap(values)
    assert mean_of_differences(values, bounded=False).high < -25


def test_a_few_large_values_among_many_zeros_tell_no_difference():
    assert mean_of_differences([5.0] * 4 + [0.0] * 96, bounded=False).low <= 0  # a sign test has p = 0.125


def test_very_large_values_are_written_short():
    assert str(Estimate(0.0, -1e300, 1e300, 2)) == "0.00 [-1e+300, 1e+300]"


def test_the_seed_interval_is_students_t():
    estimate = mean_over_seeds([0.1, 0.2, 0.3, 0.4, 0.5])
    margin = 2.776445 * math.sqrt(0.025) / math.sqrt(5)
    assert estimate[:4] == pytest.approx((0.3, 0.3 - margin, 0.3 + margin, 5), abs=1e-6)
    assert estimate.unit == "seeds"


def test_one_seed_has_a_value_and_no_interval():
    estimate = mean_over_seeds([0.4])
    assert estimate.value == 0.4
    assert math.isnan(estimate.low)
    assert "no interval" in str(estimate)


def test_equal_seeds_have_no_interval_of_no_width():
    assert str(mean_over_seeds([0.4, 0.4])) == "0.40 (no spread among 2 seeds: no interval)"


def test_no_valid_answer_is_wrong():
    assert accuracy([0, None, 2], [0, 1, 1]).tolist() == [1, 0, 0]


def test_consistency_over_shuffles_by_hand():
    first = [0, 1, None, 2, 3]
    second = [[0, 0], [1, 2], [0, 0], None, []]
    # both agree; one of two; no first answer; no trace; cannot be shuffled
    assert share(option_shuffle_consistency(first, second)).value == 1.5 / 4
    assert share(option_shuffle_consistency(first, second, every=True)) == wilson(1, 4)


def test_no_first_answer_agrees_with_no_second_answer_in_nothing():
    assert option_shuffle_consistency([None], [[None]]).tolist() == [0.0]


def test_one_shuffle_has_wilsons_interval():
    assert share(option_shuffle_consistency([0, 1, 2], [[0], [1], [0]])) == wilson(2, 3)


@given(st.lists(st.tuples(choices, st.lists(choices, min_size=2, max_size=2)), min_size=2, max_size=20))
def test_agreeing_on_every_shuffle_is_never_more_frequent_than_on_one(rows):
    first, second = [row[0] for row in rows], [row[1] for row in rows]
    assert (option_shuffle_consistency(first, second, every=True) <= option_shuffle_consistency(first, second)).all()


def letters(*choices):
    return np.eye(4)[list(choices)]


def test_letter_bias_is_total_variation_from_the_gold():
    gold = letters(0, 1, 2, 3)
    assert total_variation(letters(0, 0, 0, 0), gold).value == pytest.approx(0.75)
    assert total_variation(letters(3, 2, 1, 0), gold).value == 0
    without = np.vstack([letters(0, 0, 1), np.zeros((1, 4))])  # one has no answer
    assert total_variation(without, letters(0, 0, 1, 3)).value == pytest.approx(0.25)


@pytest.mark.parametrize("n", [8, 24, 50, 100])
def test_letters_by_chance_are_within_the_interval_and_a_place_that_is_liked_is_not(n):
    """Uniform answers were told to prefer a place in 69, 38 and 12 % of cases at 24, 50 and 100 questions."""
    rng = np.random.default_rng(n)
    by_chance = [total_variation(*(letters(*rng.integers(0, 4, n)) for _ in range(2))).low for _ in range(60)]
    assert sum(low > 0.1 for low in by_chance) <= 1
    liked = [letters(*rng.choice(4, n, p=(0.7, 0.1, 0.1, 0.1))) for _ in range(60)]
    told = sum(total_variation(each, letters(*rng.integers(0, 4, n))).low > 0.1 for each in liked)
    assert told >= 58 or n < 100


def test_a_skewed_answer_is_no_bias_where_the_gold_is_skewed_alike():
    assert total_variation(letters(0, 0, 1), letters(0, 1, 0)).value == 0


def test_trace_and_answer_errors_by_hand():
    trace = [0, 0, 1, 1, 2, None, 0]
    answer = [0, 1, 0, 1, 3, 0, None]
    gold = [0, 0, 0, 0, 0, 0, 0]
    # right/right, CR-WA, WR-CA, wrong and consistent, wrong in two ways, trace states nothing, CR-WA without an answer
    assert share(trace_answer_consistency(trace, answer)) == wilson(2, 6)
    assert share(cr_wa(trace, answer, gold)) == wilson(2, 6)
    assert share(wr_ca(trace, answer, gold)) == wilson(1, 6)


@given(st.lists(st.tuples(choices, choices, st.integers(0, 3)), min_size=1, max_size=30))
def test_the_shares_of_stated_traces_add_up_to_one(rows):
    trace, answer, gold = ([row[i] for row in rows] for i in range(3))
    stated = [row for row in rows if row[0] is not None]
    if stated:
        wrong_twice = sum(t != a and t != g and a != g for t, a, g in stated) / len(stated)
        parts = (trace_answer_consistency(trace, answer), cr_wa(trace, answer, gold), wr_ca(trace, answer, gold))
        assert sum(np.nanmean(part) for part in parts) + wrong_twice == pytest.approx(1)


def test_an_estimate_survives_json():
    estimate = mean_over_seeds([0.1, 0.2])
    assert Estimate(*json.loads(json.dumps(estimate))) == estimate


def test_importing_the_metrics_does_not_import_scipy():
    code = "import sys, align.evaluation.statistics.metrics; print('scipy' in sys.modules or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"

import math

import numpy as np
import pytest

from align.evaluation.statistics.item_means import (
    ItemMean,
    bounded_difference,
    mean_difference,
    mean_of_items,
    weighted_mean,
)
from align.evaluation.statistics.metrics import Estimate, mean_of_differences, wilson


def test_zeros_and_ones_get_wilsons_interval():
    assert mean_of_items(np.array([1.0, 0.0, 1.0, np.nan])) == wilson(2, 3)


def test_values_between_other_bounds_are_scaled_and_scaled_back():
    estimate = mean_of_items(np.array([-1.0, 3.0, 3.0, 3.0]), (-1.0, 3.0))
    share = wilson(3, 4)
    assert estimate[:3] == pytest.approx([4 * number - 1 for number in share[:3]])
    assert estimate.n == 4


def test_no_change_at_all_is_not_certain():
    estimate = mean_of_items(np.zeros(100), (-1.0, 1.0))
    assert estimate[:3] == pytest.approx((0, -0.0272, 0.0272), abs=1e-4)


def test_a_fall_within_items_is_a_paired_difference():
    before, after = np.array([1.0, 0.0, 1.0, 1.0, 0.0]), np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    assert mean_of_items(before - after, (-1.0, 1.0)) == mean_of_differences(np.subtract(before, after))
    assert mean_of_items(10 * (before - after), (-10.0, 10.0))[:3] == pytest.approx(
        [10 * number for number in mean_of_differences(np.subtract(before, after))[:3]]
    )


def test_differences_within_0_and_1_are_paired_differences():
    a, b = np.array([1.0, 0.0, 1.0, 1.0, np.nan]), np.array([0.0, 0.0, 1.0, 1.0, 1.0])
    assert mean_difference(a, b) == mean_of_differences(np.subtract(a, b))
    scaled = mean_difference(10 * a, 10 * b, (0.0, 10.0))
    assert scaled[:3] == pytest.approx([10 * number for number in mean_of_differences(np.subtract(a, b))[:3]])


def test_a_distance_is_not_below_0():
    few = np.array([0.01, 0.02, 0.3])
    assert mean_of_items(few, None).low < 0
    assert mean_of_items(few, (0.0, math.inf))[1:] == (0.0, *mean_of_items(few, None)[2:])
    assert mean_difference(few, 2 * few, (0.0, math.inf)) == mean_difference(few, 2 * few, None)
    assert math.isnan(mean_of_items(np.zeros(3), (0.0, math.inf)).low)


def test_a_weighted_mean_by_hand():
    parts = [Estimate(0.8, 0.7, 0.86, 10), Estimate(0.4, 0.0, 0.48, 20)]
    estimate = weighted_mean(parts, [0.5, 0.5])
    assert estimate.value == pytest.approx(0.6)
    assert estimate.low == pytest.approx(0.6 - math.hypot(0.05, 0.2))
    assert estimate.high == pytest.approx(0.6 + math.hypot(0.03, 0.04))
    assert estimate.n == 30
    assert weighted_mean(parts[:1], [1.0]) == pytest.approx((*parts[0][:4], "items"), abs=1e-12)


def test_a_group_without_items_makes_the_mean_unknown():
    metric = ItemMean((np.array([1.0, 0.0]), np.array([np.nan])), (0.5, 0.5))
    assert math.isnan(metric.estimate().value)


@pytest.mark.nightly
def test_the_interval_of_a_mean_of_groups_covers_about_95_percent_of_the_time():
    rng = np.random.default_rng(0)
    shares, sizes, weights = (0.95, 0.6, 0.8, 0.5), (60, 90, 40, 200), (0.25,) * 4
    truth = np.mean(shares)
    hits = 0
    for _ in range(1000):
        groups = tuple((rng.random(size) < share).astype(float) for share, size in zip(shares, sizes, strict=True))
        estimate = ItemMean(groups, weights).estimate()
        hits += estimate.low <= truth <= estimate.high
    assert 0.93 <= hits / 1000 <= 0.975


def test_groups_are_compared_pair_by_pair():
    ours = ItemMean((np.array([1.0, 1.0, 0.0]), np.array([1.0])), (0.5, 0.5))
    theirs = ItemMean((np.array([0.0, 1.0, 0.0]), np.array([1.0])), (0.5, 0.5))
    assert ours.difference(theirs).value == pytest.approx((1 / 3 + 0) / 2)


@pytest.mark.parametrize(
    "sizes",
    [[96, *[1] * 11], [11, *[1] * 11], [60, *[1] * 60], [8] * 12, [8] * 60],
    ids=["most are of one prompt", "half are", "half are, of many", "equal", "equal, many"],
)
def test_a_prompt_with_many_items_makes_no_difference_sure(sizes):
    rng, worlds = np.random.default_rng(0), 60
    codes, told, covered = np.repeat(np.arange(len(sizes)), sizes), 0, 0
    for _ in range(worlds):
        ours, theirs = (1.0 * (rng.random(len(codes)) < rng.random(len(sizes))[codes]) for _ in range(2))
        found = mean_difference(ours, theirs, codes=codes)
        told += not found.low <= 0 <= found.high
        values = rng.normal(size=len(sizes))[codes] + rng.normal(size=len(codes))
        mean = mean_of_items(values, None, codes)
        covered += mean.low <= 0 <= mean.high
        assert found.n == mean.n == len(sizes)
        assert math.isfinite(mean.high)
    assert told <= 0.12 * worlds  # as if all prompts told as much: 0.84 and 0.17 of the first two
    assert covered >= 0.88 * worlds


def test_items_of_one_prompt_tell_as_much_as_one():
    same = np.zeros(8, dtype=np.int64)
    found = mean_difference(np.ones(8), np.zeros(8), codes=same)
    assert found == mean_difference(np.ones(1), np.zeros(1))
    assert math.isnan(mean_of_items(np.arange(8.0), None, same).low)
    assert mean_of_items(np.arange(8.0), None, same).value == 3.5


def test_clusters_of_values_between_other_bounds_are_scaled_back_and_intervals_stay_within_them():
    codes, values = np.arange(80) // 2, np.random.default_rng(0).random(80)
    share = mean_of_items(values, codes=codes)
    assert share.value == pytest.approx(values.mean())
    scaled = mean_of_items(2 + 3 * values, (2.0, 5.0), codes)
    assert scaled[:3] == pytest.approx([2 + 3 * number for number in share[:3]])
    few = np.array([1.0, 1.0, 1.0, 1.0, 0.9, 0.9])
    assert mean_difference(few, np.zeros(6), codes=codes[:6]).high == 1.0


def test_values_outside_their_bounds_are_refused():
    with pytest.raises(ValueError, match=r"`bounds` are .* 0 and 1, got the value 7\. Give bounds that hold every"):
        ItemMean((np.full(40, 7.0),))
    with pytest.raises(ValueError, match="got the value -1"):
        mean_difference(np.zeros(3), np.array([0.0, -1.0, math.nan]))
    with pytest.raises(ValueError, match="got the value -2"):
        mean_of_items(np.array([1.0, -2.0]), (0.0, math.inf))
    assert ItemMean((np.full(40, 7.0),), bounds=None).estimate().value == 7
    assert ItemMean((np.array([1 + 1e-12, math.nan]),)).estimate().value == pytest.approx(1)


def test_values_that_one_model_lacks_make_no_difference_surer():
    ours, theirs = np.ones(40), np.zeros(40)
    lacking = np.where(np.arange(40) < 22, math.nan, ours)
    assert mean_difference(lacking, theirs).verdict() == "above"
    theirs[:22] = 1
    assert bounded_difference(lacking, theirs).verdict() is None  # it may be wrong there
    assert ItemMean((lacking,)).difference(ItemMean((theirs,))).verdict() is None
    assert bounded_difference(lacking, theirs, None)[3] == 0  # it may be anything
    both = ItemMean((lacking, np.array([math.nan])), (0.5, 0.5))
    assert both.lacking(ItemMean((theirs, np.array([math.nan])), (0.5, 0.5))) == [22, 0, 1]
    assert ItemMean((theirs,)).lacking(ItemMean((theirs,))) is None
    both = np.where(np.isnan(lacking), math.nan, theirs)
    assert bounded_difference(lacking, both) == mean_difference(lacking, both)  # where neither has any
    rng = np.random.default_rng(0)
    for _ in range(100):
        ours, theirs = (rng.integers(0, 2, 30).astype(float) for _ in range(2))
        less = [np.where(rng.random(30) < 0.1, math.nan, each) for each in (ours, theirs)]
        less = [np.where(np.isnan(other) & np.isnan(each), whole, each)
                for each, other, whole in zip(less, less[::-1], (ours, theirs), strict=True)]  # fmt: skip
        assert bounded_difference(*less).verdict() in (None, mean_difference(ours, theirs).verdict())

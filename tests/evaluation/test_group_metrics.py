import numpy as np
import pytest

from align.evaluation.statistics.group_metrics import (
    accuracy_by_group,
    by_group,
    set_accuracy,
    spread_of_groups,
)
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import paired_interval, wilson

GROUPS = ["common"] * 4 + ["counter"] * 2 + [None]
RIGHT = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def test_groups_worked_by_hand():
    metrics = {name: metric.estimate().value for name, metric in accuracy_by_group(GROUPS, RIGHT).items()}
    assert metrics == pytest.approx(
        {"accuracy": 4 / 7, "accuracy/common": 3 / 4, "accuracy/counter": 1 / 2, "macro_accuracy": 5 / 8}
    )
    found = spread_of_groups(GROUPS, RIGHT)
    spread = {name: estimate.value for name, estimate in found.items()}
    assert spread == pytest.approx({"worst_group": 1 / 2, "group_gap": 1 / 4})
    assert found["group_gap"].low == 0, "intervals that overlap leave no gap, and none below 0"


def test_a_set_is_right_if_all_of_it_is_counted_by_hand():
    sets = ["a", "a", "b", "b", "b", "alone", None, "c", "c"]
    right = np.array([1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    groups = ["x", "x", "y", "y", "y", "y", "y", "y", "y"]
    found = {name: metric.estimate() for name, metric in set_accuracy(sets, groups, right).items()}
    assert found == {
        "set_accuracy": wilson(2, 3), "set_accuracy/x": wilson(1, 1), "set_accuracy/y": wilson(1, 2),
    }  # fmt: skip
    (half,) = set_accuracy(["a", "a"], ["x", "x"], np.array([0.5, 0.75])).values()  # two samples, and four
    assert half.estimate().value == 0.375
    assert set_accuracy(["alone", None], ["x", "x"], np.array([1.0, 1.0])) == set_accuracy([], [], right) == {}


def test_two_models_are_compared_set_by_set():
    sets = [str(i // 2) for i in range(40)]
    ours, theirs = np.ones(40), np.ones(40)
    ours[0] = 0  # one set is lost
    theirs[[10, 12, 14, 15]] = 0  # three others are, one of them twice
    (mine,), (other,) = (set_accuracy(sets, [None] * 40, right).values() for right in (ours, theirs))
    difference = mine.difference(other)
    assert difference.value == pytest.approx((19 - 17) / 20)
    assert difference.n == 20
    assert (difference.low, difference.high) == pytest.approx(paired_interval(3, 1, 20))


def test_a_difference_of_two_groups_is_taken_apart_like_a_mean():
    values = np.arange(7.0)
    found = by_group({"gap": ItemMean((values, -values), (1.0, -1.0), bounds=None)}, GROUPS)
    assert list(found) == ["gap/common", "gap/counter"]
    assert [list(part) for part in found["gap/counter"].groups] == [[4, 5], [-4, -5]]
    assert found["gap/counter"].weights == (1.0, -1.0)
    means = {"gap": ItemMean((values,), bounds=None)}
    assert by_group(means, []) == by_group(means, ["one"] * 7) == {}


@pytest.mark.parametrize("groups", [[None] * 7, ["one"] * 7])
def test_fewer_than_two_groups_have_no_spread(groups):
    assert set(accuracy_by_group(groups, RIGHT)) == {"accuracy"}
    assert spread_of_groups(groups, RIGHT) == {}


def test_a_group_without_values_is_left_out_of_the_spread():
    values = np.where(np.array(GROUPS) == "counter", np.nan, RIGHT)
    assert spread_of_groups(GROUPS, values) == {}


def test_intervals_cover_the_true_spread_where_a_bootstrap_of_the_minimum_would_not():
    rng = np.random.default_rng(1)
    truth = np.array([0.6, 0.6, 0.65, 0.7])
    expected = {"worst_group": 0.6, "group_gap": 0.1}
    groups = [name for name in "abcd" for _ in range(60)]
    covered = dict.fromkeys(expected, 0)
    for _ in range(200):
        right = (rng.random(240) < np.repeat(truth, 60)).astype(float)
        for name, estimate in spread_of_groups(groups, right).items():
            covered[name] += estimate.low <= expected[name] <= estimate.high
    assert min(covered.values()) >= 0.95 * 200

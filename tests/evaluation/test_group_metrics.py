import itertools

import numpy as np
import pytest

from align.evaluation.statistics.group_metrics import accuracy_by_group, counter_drop, spread_of_groups, std_in_box

GROUPS = ["common"] * 4 + ["counter"] * 2 + [None]
RIGHT = np.array([1.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0])


def test_groups_worked_by_hand():
    metrics = {name: metric.estimate().value for name, metric in accuracy_by_group(GROUPS, RIGHT).items()}
    assert metrics == pytest.approx(
        {"accuracy": 4 / 7, "accuracy/common": 3 / 4, "accuracy/counter": 1 / 2, "macro_accuracy": 5 / 8}
    )
    spread = {name: estimate.value for name, estimate in spread_of_groups(GROUPS, RIGHT).items()}
    assert spread == pytest.approx({"worst_group": 1 / 2, "group_gap": 1 / 4, "group_std": 1 / 8})
    assert counter_drop(GROUPS, RIGHT, "common", "counter").estimate().value == pytest.approx(1 / 4)


@pytest.mark.parametrize("groups", [[None] * 7, ["one"] * 7])
def test_fewer_than_two_groups_have_no_spread(groups):
    assert set(accuracy_by_group(groups, RIGHT)) == {"accuracy"}
    assert spread_of_groups(groups, RIGHT) == {}


def test_a_group_without_values_is_left_out_of_the_spread_and_a_missing_one_is_named():
    values = np.where(np.array(GROUPS) == "counter", np.nan, RIGHT)
    assert spread_of_groups(GROUPS, values) == {}
    with pytest.raises(ValueError, match=r"no group .rare. among the questions"):
        counter_drop(GROUPS, RIGHT, "common", "rare")


def test_the_counter_drop_has_newcombes_interval_from_his_table():
    # Newcombe (1998), method 10, of 56/70 - 48/80.
    values = np.array([1.0] * 56 + [0.0] * 14 + [1.0] * 48 + [0.0] * 32)
    estimate = counter_drop(["a"] * 70 + ["b"] * 80, values, "a", "b").estimate()
    assert estimate[:3] == pytest.approx((0.2, 0.0524, 0.3339), abs=1e-4)


def test_no_numbers_in_a_box_spread_less_or_more_than_its_bounds():
    rng = np.random.default_rng(0)
    for _ in range(50):
        low, high = np.sort(rng.random((2, 5)), axis=0)
        least, greatest = std_in_box(low, high)
        corners = [np.std(corner) for corner in itertools.product(*zip(low, high, strict=True))]
        assert max(corners) - 1e-6 <= greatest <= 1.1 * max(corners)
        nearest = min(np.std(np.clip(point, low, high)) for point in np.linspace(0, 1, 500))
        assert least == pytest.approx(nearest, abs=2e-3)
        assert least <= rng.uniform(low, high, size=(500, 5)).std(axis=1).min() + 1e-6


def test_intervals_cover_the_true_spread_where_a_bootstrap_of_the_minimum_would_not():
    rng = np.random.default_rng(1)
    truth = np.array([0.6, 0.6, 0.65, 0.7])
    expected = {"worst_group": 0.6, "group_gap": 0.1, "group_std": float(truth.std())}
    groups = [name for name in "abcd" for _ in range(60)]
    covered = dict.fromkeys(expected, 0)
    for _ in range(200):
        right = (rng.random(240) < np.repeat(truth, 60)).astype(float)
        for name, estimate in spread_of_groups(groups, right).items():
            covered[name] += estimate.low <= expected[name] <= estimate.high
    assert min(covered.values()) >= 0.95 * 200

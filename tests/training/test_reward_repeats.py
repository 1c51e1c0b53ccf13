import numpy as np
import pytest

from align.training.reward_records import (
    Repeat,
    add_noise_shares,
    group_variance,
    icc,
    pair_scores,
    repeat_metrics,
    rows_to_repeat,
)
from rewards.running.scores import Score

NAN = float("nan")


def test_icc_by_hand():
    # rows (1, 2), (3, 3), (5, 4): means 1.5, 3, 4.5, so MSB = 2 (2.25 + 0 + 2.25) / 2 = 4.5;
    # MSW = (1/2 + 0 + 1/2) / 3 = 1/3; (4.5 - 1/3) / (4.5 + 1/3) = 25/29
    assert icc(np.array([[1.0, 2.0], [3.0, 3.0], [5.0, 4.0]])) == pytest.approx(25 / 29)
    assert icc(np.array([[0.0, 1.0], [1.0, 0.0]])) == -1.0  # both rows have the same mean
    assert icc(np.array([[2.0, 2.0], [5.0, 5.0]])) == 1.0


@pytest.mark.parametrize("pairs", [[], [[1.0, 2.0]], [[1.0, 1.0], [1.0, 1.0]]])
def test_icc_of_what_does_not_vary_is_nan(pairs):
    assert np.isnan(icc(np.array(pairs).reshape(-1, 2)))


def test_the_variance_inside_groups_by_hand():
    # group 1: squares 0.5 around 1.5; group 2: 3 and no other; group 3: none
    assert group_variance(np.array([1.0, 2.0, 3.0, NAN, NAN, NAN]), 2) == 0.5
    assert group_variance(np.array([1.0, 2.0, 4.0, 8.0]), 2) == (0.5 + 8.0) / 2
    assert np.isnan(group_variance(np.array([1.0, NAN]), 2))


def test_metrics_by_hand():
    repeats = [Repeat(1.0, 2.0), Repeat(3.0, 3.0), Repeat(5.0, 4.0), Repeat(None, None), Repeat(None, 1.0)]
    repeats += [Repeat(1.0, None), Repeat(2.0, None, failed=True), Repeat(1.0, 1.00005)]
    found = repeat_metrics(repeats, np.array([0.0, 2.0, 1.0, 1.0]), 2)
    assert found["flaky_share"] == 5 / 8
    assert found["repeat_difference"] == pytest.approx((1 + 0 + 1 + 0.00005) / 4)
    assert found["noise_variance"] == pytest.approx((0.5 + 0 + 0.5) / 4, abs=1e-6)
    assert found["group_variance"] == 1.0


def test_nothing_is_known_without_pairs():
    found = repeat_metrics([], np.array([1.0, 1.0]), 2)
    assert [name for name, value in found.items() if not np.isnan(value)] == ["group_variance"]
    only_none = repeat_metrics([Repeat(None, None)] * 8, np.full(8, NAN), 4)
    assert only_none["flaky_share"] == 0.0
    assert np.isnan(only_none["noise_variance"])


def test_known_noise_is_found():
    rng = np.random.default_rng(0)
    quality = np.repeat(rng.normal(0, 3, 500), 8) + rng.normal(0, 1, 4000)  # prompts differ far more than completions
    first, again = quality + rng.normal(0, 0.5, (2, 4000))
    found = repeat_metrics([Repeat(*pair) for pair in zip(first, again, strict=True)], first, 8)
    assert found["noise_variance"] == pytest.approx(0.25, rel=0.05)
    assert found["group_variance"] == pytest.approx(1.25, rel=0.05)
    assert found["repeat_icc"] == pytest.approx(10 / 10.25, abs=0.01)  # of all prompts together


def test_the_share_is_that_of_the_means():
    metrics = {"rewards/own/noise_variance": [0.0, 0.2], "rewards/own/group_variance": [0.5, 0.3], "reward": [1.0]}
    metrics |= {"rewards/flat/noise_variance": [0.1], "rewards/flat/group_variance": [0.0]}
    metrics |= {"rewards/loud/noise_variance": [0.3], "rewards/loud/group_variance": [0.2]}
    add_noise_shares(metrics)
    assert metrics["rewards/own/noise_share"] == [pytest.approx(0.25)]
    assert metrics["rewards/loud/noise_share"] == [1.0]
    assert "rewards/flat/noise_share" not in metrics


@pytest.mark.parametrize(
    ("rows", "share", "ranks", "count"),
    [(64, 0.05, 1, 8), (200, 0.05, 1, 10), (4, 0.05, 1, 4), (64, 0.05, 4, 4), (3, 1.0, 2, 3), (2, 0.05, 16, 1)],
)
def test_as_many_rows_are_drawn_as_are_asked_for(rows, share, ranks, count):
    drawn = rows_to_repeat([Score(1.0)] * rows, share, ranks, (42, 3, 0))
    assert len(drawn) == len(set(drawn)) == count
    assert drawn == rows_to_repeat([Score(1.0)] * rows, share, ranks, (42, 3, 0)), "a resumed run draws the same"


def test_rows_that_failed_are_not_drawn():
    scores = [Score(1.0), Score(None, "timeout"), Score(None), Score(None, "error")] * 2
    assert sorted(rows_to_repeat(scores, 1.0, 1, (1,))) == [0, 2, 4, 6]
    again = [Score(2.0), Score(None), Score(None, "died", "gone")]
    assert pair_scores(scores, [0, 2, 4], again) == [
        Repeat(1.0, 2.0), Repeat(None, None), Repeat(1.0, None, failed=True)
    ]  # fmt: skip

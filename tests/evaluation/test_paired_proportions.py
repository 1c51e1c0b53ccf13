import functools
import itertools
import re

import numpy as np
import pytest
from scipy.stats import multinomial

from align.evaluation.statistics.metrics import (
    Estimate,
    mcnemar,
    mean_of_differences,
    paired_interval,
)
from align.report.evaluation.measured import apart

# Shares of items won and lost: equal policies, accuracies of 1.00 and 0.98, one far better, ...
SHARES = [(0.0, 0.0), (0.02, 0.0), (0.01, 0.01), (0.1, 0.0), (0.1, 0.02), (0.05, 0.05), (0.3, 0.1)]
SIZES = [5, 10, 20, 40, 80, 160, 320]
cached_interval = functools.cache(paired_interval)


def test_without_discordant_pairs_nothing_speaks_against_equality():
    assert mcnemar(0, 0) == 1.0


def test_the_interval_is_bonett_and_prices():
    # The example of `ci.prop.ps(.05, 12, 4, 26, 6)` in R's statpsych, by the authors of the interval.
    assert paired_interval(wins=26, losses=4, n=48) == pytest.approx((0.2548067, 0.6251933), abs=1e-7)
    assert paired_interval(wins=4, losses=26, n=48) == pytest.approx((-0.6251933, -0.2548067), abs=1e-7)


def coverage(shares, n):
    """How often the interval holds the truth, over all that can be seen of n items."""
    wins, losses = np.indices((n + 1, n + 1)).reshape(2, -1)
    counts = np.stack([wins, losses, n - wins - losses], axis=1)[wins + losses <= n]
    chances = multinomial.pmf(counts, n, [*shares, 1 - sum(shares)])
    likely = chances > 1e-6
    ends = np.array([cached_interval(int(won), int(lost), n) for won, lost, _ in counts[likely]])
    gap = shares[0] - shares[1]
    return chances[likely][(ends[:, 0] <= gap + 1e-12) & (gap - 1e-12 <= ends[:, 1])].sum()


def test_the_interval_holds_in_95_percent_of_samples():
    cases = [(shares, n) for shares, n in itertools.product(SHARES, SIZES) if n < 320 or sum(shares) < 0.1]
    assert [case for case in cases if coverage(*case) < 0.95] == []


@pytest.mark.parametrize(("shares", "n"), [((0.4, 0.0), 5), ((0.7, 0.3), 10), ((0.2, 0.0), 20), ((0.3, 0.0), 40)])
def test_where_it_holds_least_it_still_covers_92_percent(shares, n):
    assert 0.92 <= coverage(shares, n) < 0.95


def test_what_is_written_tells_what_the_interval_tells():
    for won, lost, n in [(6, 0, 20_000), (54, 29, 20_000), (9, 1, 4000), (0, 7, 10**6), (4, 0, 1000), (5, 0, 10)]:
        estimate = Estimate((won - lost) / n, *paired_interval(won, lost, n), n)
        for text in (str(estimate), apart(estimate, is_share=True)):
            low, high = map(float, re.search(r"\[(.*), (.*)\]", text).groups())
            assert (low > 0 or high < 0) == (mcnemar(won, lost) < 0.05), text


def test_the_interval_leaves_out_0_where_the_exact_test_does_and_nowhere_else():
    cases = [(won, lost, n) for n in (1, 2, 5, 8, 13, 30) for won in range(n + 1) for lost in range(n + 1 - won)]
    cases += [(won, lost, n) for n in (200, 4000) for won in range(16) for lost in range(16)]
    told = 0
    for won, lost, n in cases:
        low, high = paired_interval(won, lost, n)
        assert low <= (won - lost) / n <= high
        assert (low > 0 or high < 0) == (mcnemar(won, lost) < 0.05), (won, lost, n)
        told += low > 0
    assert told > 100


def test_four_items_of_a_thousand_are_no_difference():
    baseline = np.zeros(1000)
    model = baseline.copy()
    model[:4] = 1
    estimate = mean_of_differences(np.subtract(model, baseline))
    assert estimate[:3] == pytest.approx((0.004, -0.0008, 0.0088), abs=5e-5)


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda rng, n: rng.binomial(2, 0.9, n) / 2 - rng.binomial(2, 0.8, n) / 2, 0.1),
        (lambda rng, n: rng.binomial(8, 0.6, n) / 8 - rng.binomial(8, 0.5, n) / 8, 0.1),
        (lambda rng, n: np.where(rng.random(n) < 0.02, 0.0, 0.25), 0.245),
        (lambda rng, n: rng.normal(0.02, 0.05, n).clip(-1, 1), 0.02),
    ],
    ids=["2 samples", "8 samples", "nearly constant", "smooth"],
)
def test_means_of_samples_are_compared_with_intervals_that_hold(draw, truth):
    rng, hits = np.random.default_rng(0), 0
    for seed in range(100):
        estimate = mean_of_differences(draw(rng, 30), seed=seed)
        assert estimate.low < estimate.value < estimate.high
        hits += estimate.low <= truth <= estimate.high
    assert hits >= 0.92 * 100

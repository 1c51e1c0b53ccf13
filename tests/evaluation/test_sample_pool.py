import numpy as np
import pytest
from scripted_policies import AlwaysA, Solver, TraceUser
from scripted_run import evaluate, make_questions

from align.evaluation.statistics.item_means import clustered_share, mean_over_clusters, ratio_of_means
from align.evaluation.statistics.metrics import all_equal, wilson_interval
from align.evaluation.suites.questions.suite import SamplePool, best_of_n_metrics

CORRECT = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 1.0]])
PROXY = np.array([[0.2, 0.9, 0.9, 0.9], [0.1, 0.1, 0.1, 0.1], [0.5, 0.4, 0.8, 0.1]])


def pool(proxy=PROXY):
    return SamplePool(CORRECT, proxy)


def test_the_curve_equals_monte_carlo_with_ties_broken_at_random():
    metrics = best_of_n_metrics(pool())
    rng = np.random.default_rng(0)
    for n in (1, 2, 4):
        drawn = rng.permuted(np.tile(np.arange(4), (4000, 3, 1)), axis=2)[..., :n]
        scores = np.take_along_axis(np.broadcast_to(PROXY, (4000, *PROXY.shape)), drawn, axis=2)
        first = (scores == scores.max(axis=2, keepdims=True)).argmax(axis=2)  # of the best, in a random order
        best = np.take_along_axis(drawn, first[..., None], axis=2)
        found = np.take_along_axis(np.broadcast_to(CORRECT, (4000, *CORRECT.shape)), best, axis=2)[..., 0].mean(axis=0)
        assert metrics[f"best_of_{n}"].groups[0] == pytest.approx(found, abs=0.03)


def test_ends_of_the_curve_by_hand():
    found = {name: metric.estimate().value for name, metric in best_of_n_metrics(pool()).items()}
    assert found["best_of_1"] == found["sampled_accuracy"] == pytest.approx((2 + 0 + 3) / 12)
    assert found["best_of_4"] == pytest.approx((1 / 3 + 0 + 0) / 3)  # three tie, one of them right; none; a wrong one
    assert found["best_of_4/proxy"] == pytest.approx((0.9 + 0.1 + 0.8) / 3)
    assert found["best_of_4/oracle"] == pytest.approx(2 / 3)
    assert [name for name in found if name[-1].isdigit()] == ["best_of_1", "best_of_2", "best_of_4"]


def test_all_ties_choose_at_random():
    metrics = best_of_n_metrics(pool(proxy=np.ones((3, 4))))
    assert metrics["best_of_4"].groups[0] == pytest.approx(CORRECT.mean(axis=1))


def test_rates_of_few_questions_claim_little_and_those_of_like_ones_not_everything():
    correct = np.zeros((200, 8))
    correct[7, :6] = 1  # one question is solved
    accepted = np.zeros((200, 8))
    accepted[7, :3] = 1
    rate = clustered_share((accepted * correct).sum(axis=1), correct.sum(axis=1))
    assert (rate.value, rate.n) == (0.5, 1)
    assert rate.low < 0.1
    assert rate.high > 0.9
    half = ratio_of_means(np.ones(50), np.full(50, 2.0))
    assert half[:3] == pytest.approx(all_equal(0.5, 50)[:3])
    assert half.low < 0.47 < 0.53 < half.high
    assert half.n == 50


@pytest.mark.parametrize("part", [[2.0], [4.0, 1.0], [8.0, 0.0, 1.0]])
def test_things_of_one_item_count_as_one_observation(part):
    whole = np.array([8.0, 1.0, 1.0])[: len(part)]
    found = clustered_share(np.array(part), whole)
    expected = wilson_interval(sum(part) / whole.sum(), whole.sum() ** 2 / (whole**2).sum())
    assert found[:3] == pytest.approx((sum(part) / whole.sum(), *expected))


def test_from_thirty_items_on_ends_are_the_outer_ones_of_two_intervals():
    part, whole = np.array([1.0, 0.0, 3.0] * 10), np.array([2.0, 1.0, 4.0] * 10)
    found, drawn, summed = (each(part, whole) for each in (clustered_share, ratio_of_means, mean_over_clusters))
    assert (found.low, found.high) == (min(drawn.low, summed.low), max(drawn.high, summed.high))
    other = ratio_of_means(whole - part, whole)  # nothing and all are added: no side is favoured
    assert drawn.low == pytest.approx(1 - other.high, abs=0.02)
    assert drawn.high == pytest.approx(1 - other.low, abs=0.02)


def test_the_ratios_interval_covers_it_with_dependent_samples():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        share = rng.beta(1, 1, size=60)
        accepted = (rng.random((60, 4)) < share[:, None]).astype(float)
        estimate = ratio_of_means(accepted.sum(axis=1), np.full(60, 4.0))
        covered += estimate.low <= 0.5 <= estimate.high
    assert covered >= 150 * 0.95 - 3 * np.sqrt(150 * 0.95 * 0.05)


@pytest.mark.parametrize("clusters", [3, 8, 40])
def test_the_share_of_clustered_samples_covers_the_true_one(clusters):
    rng, covered = np.random.default_rng(1), 0
    for _ in range(100):
        whole = rng.integers(1, 9, size=clusters).astype(float)
        part = rng.binomial(whole.astype(int), rng.beta(0.3, 0.7, size=clusters)).astype(float)
        found = clustered_share(part, whole)
        covered += found.low <= 0.3 <= found.high
    assert covered >= 100 * 0.95 - 3 * np.sqrt(100 * 0.95 * 0.05)


def test_scripted_policies_have_the_curves_known_in_advance():
    questions = make_questions(12)

    def curve(policy, kind=""):
        found = evaluate(policy, questions, suites=("best_of_n",), num_samples=4)
        return [found.suites["best_of_n"].means[f"best_of_{n}{kind}"].estimate().value for n in (1, 2, 4)]

    assert curve(Solver()) == [1, 1, 1]
    assert curve(AlwaysA()) == [0.25] * 3  # its samples are all the same
    assert curve(TraceUser(), "/proxy")[-1] == 1

import numpy as np
import pytest

from align.evaluation.suites.questions.best_of_n import Rates, ceiling, estimate_ceiling, jackknifed_ceiling

VERIFIER = Rates(tpr=0.9, fpr=0.2)


def a_pool(questions, samples, seed, *, of=(0.5, 1.5), verifier=VERIFIER):
    """Questions whose priors are drawn from a beta distribution."""
    draw = np.random.default_rng(seed)
    prior = draw.beta(*of, size=questions)
    correct = draw.random((questions, samples)) < prior[:, None]
    accepted = draw.random((questions, samples)) < np.where(correct, verifier.tpr, verifier.fpr)
    return correct.astype(float), accepted.astype(float)


def true_ceiling(of=(0.5, 1.5), verifier=VERIFIER):
    return ceiling(np.random.default_rng(9).beta(*of, size=400_000), verifier).mean()


def test_the_interval_covers_the_ceiling_with_few_samples_of_each_question():
    found = [estimate_ceiling(*a_pool(100, 4, seed)) for seed in range(12)]
    true = true_ceiling()
    assert sum(each.low <= true <= each.high for each in found) >= 10  # without the jackknife 2


def test_the_jackknife_leaves_one_sample_out_at_a_time():
    samples, right = 5, 3
    answers = np.array([1.0] * right + [0.0] * (samples - right))
    less = [ceiling(np.array([np.delete(answers, i).mean()]), VERIFIER)[0] for i in range(samples)]
    whole = ceiling(np.array([right / samples]), VERIFIER)[0]
    assert jackknifed_ceiling(samples, VERIFIER)[right] == pytest.approx(5 * whole - 4 * np.mean(less))
    assert jackknifed_ceiling(1, VERIFIER).tolist() == [0.0, 1.0]


def test_the_rates_of_many_verifiers_are_taken_at_once():
    several = Rates(np.array([[0.9], [0.5]]), np.array([[0.2], [0.5]]))
    found = jackknifed_ceiling(4, several)
    assert found[0] == pytest.approx(jackknifed_ceiling(4, VERIFIER))
    assert found[1] == pytest.approx(np.arange(5) / 4)  # a verifier that knows nothing leaves the prior


def test_many_samples_give_what_their_shares_give():
    correct, accepted = a_pool(200, 256, 0)
    plain = ceiling(correct.mean(axis=1), Rates(*(accepted[correct == of].mean() for of in (1, 0)))).mean()
    found = estimate_ceiling(correct, accepted)
    assert found.value == pytest.approx(plain, abs=0.005)
    assert found.low < plain < found.high


@pytest.mark.parametrize("verifier", [Rates(0.0, 0.0), Rates(1.0, 1.0), Rates(1.0, 0.0), Rates(0.1, 0.9)])
@pytest.mark.parametrize(("questions", "samples"), [(1, 4), (2, 1), (30, 2)])
def test_an_interval_lies_within_0_and_1_around_its_value(verifier, questions, samples):
    correct = np.resize([1.0, 0.0, 1.0], (questions, samples))
    accepted = np.where(correct > 0, verifier.tpr > 0.5, verifier.fpr > 0.5).astype(float)
    found = estimate_ceiling(correct, accepted)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.high - found.low > 0

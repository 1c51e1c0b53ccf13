import itertools

import numpy as np
import pytest

from align.evaluation.suites.prompts.suite import maj_at_k, pass_at_k, stated_answer


def enumerated(answers, right, k):
    """Draws every k of the samples and lets them vote."""
    found = []
    for drawn in itertools.combinations(range(len(answers)), k):
        votes = [answers[i] for i in drawn if answers[i] is not None]
        most = max((votes.count(each) for each in votes), default=0)
        winners = {each for each in votes if votes.count(each) == most}
        worth = [np.mean([right[i] for i, said in enumerate(answers) if said == each]) for each in winners]
        found.append(np.mean(worth) if worth else 0.0)
    return np.mean(found)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [(4, 2, 1, 0.5), (4, 2, 2, 5 / 6), (4, 2, 3, 1.0), (8, 0, 8, 0.0), (5, 1, 2, 0.4), (3, 3, 1, 1.0)],
)
def test_pass_at_k_is_one_minus_the_share_of_draws_without_a_right_one(n, c, k, expected):
    assert pass_at_k(n, c, k) == pytest.approx(expected)


def test_pass_at_k_is_unbiased():
    """Its mean over many sets of samples is 1 - (1 - p)^k; that of 1 - (1 - c / n)^k is not."""
    rng = np.random.default_rng(0)
    right = rng.binomial(8, 0.2, size=200_000)
    estimates = np.array([pass_at_k(8, c, 4) for c in range(9)])[right]
    assert estimates.mean() == pytest.approx(1 - 0.8**4, abs=0.003)
    assert (1 - (1 - right / 8) ** 4).mean() < 1 - 0.8**4 - 0.02


@pytest.mark.parametrize("k", [0, 5])
def test_k_lies_within_the_samples(k):
    with pytest.raises(ValueError, match=f"`k` must lie between 1 and the 4 samples, got {k}"):
        pass_at_k(4, 2, k)
    with pytest.raises(ValueError, match=f"`k` must lie between 1 and the 4 samples, got {k}"):
        maj_at_k(["a"] * 4, [1.0] * 4, k)


@pytest.mark.parametrize(
    ("answers", "right", "k", "expected"),
    [
        (["3", "3", "4"], [1, 1, 0], 3, 1.0),  # two votes to one
        (["3", "3", "4"], [1, 1, 0], 1, 2 / 3),  # of one sample: its own answer
        (["3", "3", "4"], [1, 1, 0], 2, 2 / 3),  # 3 and 3: right; 3 and 4, twice: half
        (["3", "4", None], [1, 0, 0], 3, 0.5),  # a tie; silence does not vote
        ([None, None, "3"], [0, 0, 1], 2, 2 / 3),  # nobody votes in one draw of three
        ([None, None], [0, 0], 2, 0.0),
        (["3", "3"], [1, 0], 2, 0.5),  # one answer that a reward judges both ways
    ],
)
def test_maj_at_k_by_hand(answers, right, k, expected):
    assert maj_at_k(answers, [float(each) for each in right], k) == pytest.approx(expected)


def test_maj_at_k_is_the_mean_over_all_draws():
    rng = np.random.default_rng(1)
    for _ in range(60):
        size = int(rng.integers(1, 8))
        answers = [None if each == 3 else str(each) for each in rng.integers(0, 4, size)]
        right = [float(said == "0") for said in answers]
        k = int(rng.integers(1, size + 1))
        assert maj_at_k(answers, right, k) == pytest.approx(enumerated(answers, right, k)), (answers, k)


def test_many_samples_that_all_differ_are_quick():
    answers = [str(i) for i in range(64)]
    assert maj_at_k(answers, [float(i < 16) for i in range(64)], 32) == pytest.approx(0.25)


def test_equal_answers_are_equal_texts():
    texts = ["<answer>1,000</answer>", "Answer: 1000", r"It is \boxed{1000.0}.", "<answer>10^3</answer>"]
    assert {stated_answer(text) for text in texts[:3]} == {"1000"}
    assert stated_answer("<answer>  Light  Blue </answer>") == "light blue"
    assert stated_answer("I think 3 or so") is None

import math

import pytest

from align.services.filter import keep_unsure


@pytest.mark.parametrize(
    ("p", "tie", "kept"),
    [
        (0.0, False, True),  # the base model is sure of the wrong order
        (0.79, False, True),
        (0.8, False, False),  # |0.8 - 1| is not above 0.2
        (0.81, False, False),
        (1.0, False, False),
        (0.5, True, False),
        (0.69, True, False),
        (0.71, True, True),
        (0.29, True, True),
        (math.nan, False, False),
        (math.nan, True, False),
    ],
)
def test_the_rule_of_the_paper_at_tau_02(p, tie, kept):
    assert keep_unsure([p], [tie], tau=0.2 + 1e-9).tolist() == [kept]


def test_tau_0_leaves_out_only_what_is_on_target():
    assert keep_unsure([1.0, 0.999, 0.5, 0.501], [False, False, True, True], tau=0).tolist() == [False, True] * 2


def test_margins_are_not_taken_for_probabilities():
    with pytest.raises(ValueError, match=r"must hold probabilities, got 2\.5"):
        keep_unsure([0.5, 2.5], [False, False], 0.2)

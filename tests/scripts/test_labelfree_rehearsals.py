"""The bars of the rehearsals without labels, on numbers by hand; the lab itself trains."""

import pytest

from scripts.labs.labelfree.rehearsals import check_bars

HEALTHY = {
    "vote_letter_low": 0.0, "orders_agree_high": 0.9, "vote_agreement": 0.1, "sampled_gain": 0.1, "right_gain": 0.0,
    "disaster": 0.0,
}  # fmt: skip
DISASTER = HEALTHY | {
    "vote_letter_low": 0.5,
    "vote_agreement": -0.1,
    "sampled_gain": -0.2,
    "right_gain": -0.5,
    "disaster": 1.0,
}
HARMED = HEALTHY | {"vote_letter_low": 0.5, "vote_agreement": -0.1, "sampled_gain": -0.06}


@pytest.mark.parametrize(
    ("starts", "held"),
    [
        ([HEALTHY, DISASTER, HARMED], [True, True, True]),
        ([DISASTER | {"vote_letter_low": 0.2}], [False, True, True]),
        ([DISASTER | {"vote_letter_low": 0.2, "orders_agree_high": 0.5}], [True, True, True]),
        ([HEALTHY | {"vote_letter_low": 0.5}], [True, False, True]),
        ([HEALTHY] * 10 + [HEALTHY | {"vote_agreement": -0.1}] * 2, [True, True, True]),
        ([HEALTHY] * 9 + [HEALTHY | {"vote_agreement": -0.1}] * 3, [True, True, False]),
    ],
)
def test_bars_by_hand(starts, held):
    assert [*check_bars(dict(enumerate(starts))).values()] == held

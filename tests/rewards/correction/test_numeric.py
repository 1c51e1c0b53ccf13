"""What counts as a number, and how dates and large integers become some."""

import datetime

import numpy as np
import pandas as pd
import pytest
from correction_tables import draw

from rewards.correction import NaiveResidual
from rewards.correction.columns import read_columns
from rewards.correction.numeric import DAYS

DRAWN = draw(400)
Y, C = DRAWN.outcome, DRAWN.confounder
WHEN = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.round(3600 * C), unit="s")
DATES = {
    "numpy": WHEN.to_numpy(), "pandas": pd.Series(WHEN), "a zone": pd.Series(WHEN).dt.tz_localize("Etc/GMT-2"),
    "python": [each.to_pydatetime() for each in WHEN], "texts": [each.isoformat() for each in WHEN],
}  # fmt: skip


@pytest.mark.parametrize("case", DATES)
def test_a_date_counts_in_days_and_the_correction_says_so(case):
    fitted = NaiveResidual(curved=False).fit(Y, {"when": DATES[case]}).correction_
    slope = NaiveResidual(curved=False).fit(Y, np.round(3600 * C) / 86_400).coef_
    np.testing.assert_allclose(fitted.coefficients, slope, rtol=1e-7)
    assert fitted.details["units"] == {"when": DAYS}
    assert fitted.formula.endswith("; when in days since 1970-01-01 by the clock as written")
    with pytest.raises(ValueError, match=r"fitted with 'when' in days since 1970.*gets it in numbers. Pass the same"):
        fitted.correct(Y, {"when": C})


CLOCKS = {
    "texts": ["2024-03-30T18:00:00Z", "2024-03-30T18:00:00+05:30", "2024-03-30 18:00", "2024-03-30T18:00:00-0500"],
    "python": [datetime.datetime.fromisoformat(f"2024-03-30T18:00:00{zone}") for zone in ("Z", "", "-05:00")],
    "summer time": pd.Series(pd.to_datetime(["2024-03-30 18:00"] * 4)).dt.tz_localize("Europe/Berlin"),
    "an index": pd.DatetimeIndex(["2024-03-30 18:00"] * 4).tz_localize("America/New_York"),
}  # fmt: skip


@pytest.mark.parametrize("case", CLOCKS)
def test_a_time_is_read_by_the_clock_as_written_whatever_its_offset(case):
    assert read_columns({"when": CLOCKS[case]}, "confounder").values.ravel().tolist() == [19812.75] * len(CLOCKS[case])


def test_a_missing_date_is_missing_and_a_bad_one_is_named_with_its_row():
    for missing in (pd.Series([pd.NaT, *WHEN[1:]]), [None, *WHEN[1:]]):
        with pytest.raises(ValueError, match=r"missing or not finite in when \(1 rows\), first in row 0"):
            NaiveResidual().fit(Y, {"when": missing})
    for bad in ("2024-02-30", 3.5):
        with pytest.raises(ValueError, match=r"'when' must hold dates in every row.*got .* in row 2"):
            read_columns({"when": ["2024-01-31", datetime.date(2024, 2, 1), bad]}, "confounder")


def test_integers_beyond_2_to_53_are_taken_as_floats_where_these_tell_them_apart():
    whole = np.round(1000 * C).astype(np.int64)
    with pytest.raises(ValueError, match="of which rounding leaves nothing sure"):
        NaiveResidual().fit(Y, {"c": 4 * whole + 2**60})
    expected = NaiveResidual().fit(Y, whole)
    for column in (10**9 * whole + 2**60, [10**9 * int(value) + 2**70 for value in whole], whole.astype(np.int16)):
        reward = NaiveResidual().fit(Y, {"c": column}).correct(Y, {"c": column})
        np.testing.assert_allclose(reward, expected.correct(Y, whole), atol=1e-3)


REFUSED = {
    "a part in 1e15": (1 + 1e-15 * C, "must vary, but is 1 in every row"),
    "the same integer": (np.full(400, 2**60), "must vary"),
    "too small": (1e-300 * C, "standard deviation from 1e-60 to 1e.60, got 1.*e-300. Give it in another unit"),
    "too large": (1e300 * C, "standard deviation from 1e-60"),
    "complex": (C + 0j, "must hold numbers"),
    "masked": (np.ma.masked_array(C, C > 4), "missing or not finite"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_estimated_is_refused(case):
    column, words = REFUSED[case]
    with pytest.raises(ValueError, match=words):
        NaiveResidual().fit(Y, {"c": column})


@pytest.mark.parametrize(("scale", "shift"), [(1e18, 0), (1e-12, 0), (1, 1e9), (1, 1e13), (-1e18, 1e24)])
def test_columns_that_differ_in_unit_and_shift_determine_each_other(scale, shift):
    with pytest.raises(ValueError, match="confounders a, b must not determine each other"):
        NaiveResidual().fit(Y, {"a": C, "b": scale * C + shift})

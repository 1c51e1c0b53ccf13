"""What counts as a number, and how dates and large integers become some."""

import datetime

import numpy as np
import pandas as pd
import pytest
from correction_tables import draw

from rewards.correction import NaiveResidual, TableChunk
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
    assert fitted.formula.endswith("; when in days since 1970-01-01 (UTC)")
    with pytest.raises(ValueError, match=r"fitted with 'when' in days since 1970.*gets it in numbers. Pass the same"):
        fitted.correct(Y, {"when": C})
    with pytest.raises(ValueError, match="Chunk 1 must have dates where the first one has: when; got none"):
        NaiveResidual().fit_chunks(lambda: iter([TableChunk(Y, {"when": DATES[case]}), TableChunk(Y, {"when": C})]))


def test_a_missing_date_is_missing_and_a_bad_one_is_named_with_its_row():
    for missing in (pd.Series([pd.NaT, *WHEN[1:]]), [None, *WHEN[1:]]):
        with pytest.raises(ValueError, match=r"missing or not finite in when \(1 rows\), first in row 0"):
            NaiveResidual().fit(Y, {"when": missing})
    for bad in ("2024-02-30", 3.5):
        with pytest.raises(ValueError, match=r"'when' must hold dates in every row.*got .* in row 2"):
            read_columns({"when": ["2024-01-31", datetime.date(2024, 2, 1), bad]}, "confounder")


WHOLE = np.round(1000 * C).astype(np.int64)
INTEGERS = {
    "int64": WHOLE + 2**60, "below 0": WHOLE - 2**62, "uint64": (WHOLE + 2**62).astype(np.uint64) + np.uint64(2**63),
    "python": [int(value) + 2**70 for value in WHOLE], "small": WHOLE.astype(np.int16), "float32": np.float32(WHOLE),
}  # fmt: skip


@pytest.mark.parametrize("case", INTEGERS)
def test_integers_keep_their_digits_at_once_and_in_chunks(case):
    column, expected = INTEGERS[case], NaiveResidual().fit(Y, WHOLE)
    chunks = [TableChunk(Y[cut], column[cut]) for cut in (slice(0, 100), slice(100, 400))]
    for fitted in (NaiveResidual().fit(Y, {"c": column}), NaiveResidual().fit_chunks(lambda: iter(chunks))):
        np.testing.assert_allclose(fitted.coef_, expected.coef_, rtol=1e-9)
        rewards = fitted.correct(Y, column)
        np.testing.assert_allclose(rewards - rewards.mean(), _centred(expected.correct(Y, WHOLE)), atol=1e-9)


def _centred(values):
    return values - values.mean()


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

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

import rewards
from rewards.reading.numbers import read_number
from rewards.scoring.number_accuracy import NumberAccuracy

READ = {
    "1234": (1234, ""),
    "1,234": (1234, ""),
    "1 234": (1234, ""),
    "1\u202f234\u202f567": (1234567, ""),
    "1,234,567.5": ("1234567.5", ""),
    "-3.5": ("-3.5", ""),
    "\u22123.5": ("-3.5", ""),
    "+3": (3, ""),
    ".5": ("0.5", ""),
    "5.": (5, ""),
    "007": (7, ""),
    "2e3": (2000, ""),
    "2 x 10^3": (2000, ""),
    r"2 \times 10^{-3}": ("0.002", ""),
    "3/4": ("3/4", ""),
    "-3/4": ("-3/4", ""),
    "1 1/2": ("3/2", ""),
    "1½": ("3/2", ""),
    r"\frac{3}{4}": ("3/4", ""),
    r"-\dfrac{1}{2}": ("-1/2", ""),
    "$5": (5, "$"),
    "-$5": (-5, "$"),
    "5 €": (5, "€"),
    "$5$": (5, ""),
    "**5**": (5, ""),
    "50%": (50, "%"),
    r"50\%": (50, "%"),
    "50 percent": (50, "%"),
    "5 km": (5, "km"),
    "5km/h.": (5, "km/h"),
    "5 m²": (5, "m2"),
    "5 m^2": (5, "m2"),
    "21 °C": (21, "°C"),
    "12 Apples": (12, "apples"),
}
NOT_ONE_NUMBER = [
    "", " ", ".", "three", "about 3", "~3", "≈3", "3±1", "<3", "x = 3", "3 = 4", "not 3", "3 is wrong",
    "3 or 4", "3 and 4", "3, 4", "3-4", "3 \u2013 4", "3 to 4", "3 (4)", "3 4", "3\n4", "3 four", "3 million",
    "3 km or 4 km", "3 km 4", "$5 dollars", "3/4/2020",
    "1,5", "12,34", "0,123", "1.234.567", "1 234 5", "1_000", "0x10",
    "1/0", "10^3", "1e999", "2 x 10^999", "--3", "+-3", "-$-3", "3!", "5²", "NaN", "inf", "1" * 101,
]  # fmt: skip


@pytest.mark.parametrize("text", READ)
def test_numbers_are_read_as_they_are_written(text):
    value, unit = READ[text]
    assert read_number(text) == (Fraction(value), unit)


@pytest.mark.parametrize("text", NOT_ONE_NUMBER)
def test_what_is_not_one_number_is_none_and_earns_nothing_with_a_wide_tolerance(text):
    assert read_number(text) is None
    assert scores(3, text, rel_tol=0.5) == [0.0]


def scores(gold, *texts, **settings):
    return NumberAccuracy(**settings)([f"<answer>{text}</answer>" for text in texts], [gold] * len(texts))


def test_forms_of_one_number_are_equal():
    assert scores("0.5", "1/2", "50%", "5e-1", "½", "0.50", "50") == [1.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert scores(1000, "1,000", "1 000", "1e3", "1000.0", "1000.1") == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert scores(0.1, "1/10") == scores(-3, "\u22123") == [1.0]


def test_a_percent_sign_is_hundredths_or_a_unit():
    assert scores(50, "50%", "50") == [0.0, 1.0]
    assert scores("50%", "50%", "0.5", "50") == [1.0, 1.0, 0.0]
    assert scores("50%", "50%", "0.5", "50", percent="unit") == [1.0, 0.0, 1.0]
    assert scores(50, "50%", percent="unit", units=["percent"]) == [1.0]


def test_units_are_left_out_or_the_same_and_never_converted():
    assert scores("5 km", "5", "5km", "5 m", "5000 m", "$5") == [1.0, 1.0, 0.0, 0.0, 0.0]
    assert scores("$5", "5", "$5", "5$", "€5", "5 dollars") == [1.0, 1.0, 1.0, 0.0, 0.0]
    assert scores("5 mW", "5 MW") == [0.0]
    assert scores(5, "5 km") == [0.0]
    assert scores(5, "5 km", "5 m", "5 m²", units=["km", "m^2"]) == [1.0, 0.0, 1.0]


def test_a_tolerance_is_the_larger_of_two():
    assert scores("1/3", "0.333") == [0.0]
    assert scores("1/3", "0.333", "0.33", rel_tol=0.002) == [1.0, 0.0]
    assert scores(100, "99", "98.9", rel_tol=0.01) == [1.0, 0.0]
    assert scores(0, "0.001", "0.002", rel_tol=1.0, abs_tol=0.001) == [1.0, 0.0]


def test_references_that_are_no_number_are_skipped_and_other_kinds_refused():
    golds = [None, "", "3 or 4", float("nan"), float("inf"), "about 3"]
    assert rewards.number_accuracy(["Answer: 3"] * len(golds), golds) == [None] * len(golds)
    for gold in (True, [3], {"value": 3}):
        with pytest.raises(TypeError, match="`answer` must hold a number or a text with one"):
            rewards.number_accuracy(["Answer: 3"], [gold])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rel_tol": -1}, "`rel_tol` must be a finite number, at least 0; got -1"),
        ({"abs_tol": float("inf")}, "`abs_tol` must be a finite number"),
        ({"rel_tol": "0.1"}, "got '0.1'"),
        ({"units": "km"}, "`units` must be a list"),
        ({"percent": "half"}, "`percent` must be one of hundredths, unit"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        NumberAccuracy(**settings)


@given(st.integers(-(10**12), 10**12), st.integers(1, 999))
def test_every_way_to_write_a_number_reads_back(top, bottom):
    assert read_number(f"{top:,}").value == read_number(str(top)).value == top
    assert read_number(f"{top}/{bottom}").value == Fraction(top, bottom)
    assert read_number(f"{top} km") == (top, "km")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_reference_equals_its_own_text(value):
    assert scores(value, repr(value)) == ([1.0] if read_number(repr(value)) else [0.0])


@given(st.integers(0, 99), st.integers(0, 99), st.sampled_from([" or ", ", ", " and ", "-", "/", " / ", ";", " "]))
def test_two_numbers_are_never_paid_as_one_of_them(first, second, joint):
    text = f"{first}{joint}{second}"
    if scores(first, text) == [1.0]:
        assert "/" in joint
        assert Fraction(first, second) == first


def test_long_answers_are_read_quickly():
    assert scores(3, "3" * 100_000, "3 " * 50_000, "3," * 50_000, "$" * 100_000) == [0.0] * 4

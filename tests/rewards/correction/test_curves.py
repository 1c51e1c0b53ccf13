"""A number is removed as what it is: by its values, by a curve, by the parts of a date, and with others together."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from statsmodels.api import OLS, add_constant

from rewards.correction import ESTIMATORS, Correction, CorrectionWarning, DoubleML, NaiveResidual
from rewards.correction.cross_fitting import words
from rewards.correction.curves import part_of
from rewards.correction.diagnostics import explained

N = 3000
RNG = np.random.default_rng(0)
HOUR = RNG.integers(24, size=N)
GUIDE = RNG.random(N) < np.where((HOUR >= 8) & (HOUR <= 16), 0.7, 0.2)
TEXT = [("guide " if each else "") + f"word{RNG.integers(30)}" for each in GUIDE]
SINE = 3 * np.sin(2 * np.pi * (HOUR - 6) / 24)
NOISE = RNG.normal(scale=0.5, size=N)
Y = SINE + GUIDE + NOISE
GROUPS = np.arange(N) % 60


def fit(name, outcome, confounders, text=TEXT, **settings):
    model = ESTIMATORS[name](**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        return model.fit(outcome, confounders, text=text, groups=GROUPS if name == "fixed_effects" else None)


def reward(model, outcome, confounders):
    return model.correct(outcome, confounders, groups=GROUPS)


def worth(values, mark=GUIDE):
    return values[mark].mean() - values[~mark].mean()


@pytest.mark.parametrize("name", ["dml", "fixed_effects"])
@pytest.mark.parametrize("scale", [1, 0.37])
def test_a_cyclic_hour_leaves_the_reward_and_the_text_keeps_its_worth(name, scale):
    columns = {"hour": HOUR * scale}
    found = reward(fit(name, Y, columns), Y, columns)
    assert worth(found) == pytest.approx(1, abs=0.1)
    assert np.corrcoef(found - GUIDE, SINE)[0, 1] == pytest.approx(0, abs=0.1)


def test_the_naive_residual_has_no_hour_left_as_with_a_label_for_each():
    found = reward(fit("ols", Y, {"hour": HOUR}), Y, {"hour": HOUR})
    labels = [f"h{hour}" for hour in HOUR]
    np.testing.assert_allclose(found, reward(fit("ols", Y, {"hour": labels}), Y, {"hour": labels}), atol=1e-9)
    assert explained(found, HOUR) == 0 < 0.9 < explained(Y, HOUR)


def test_the_slope_is_that_of_the_best_line_and_its_interval_that_of_statsmodels():
    found = fit("ols", Y, {"hour": HOUR}).correction_
    assert found.coefficients[0] == pytest.approx(np.polyfit(HOUR, Y, 1)[0], rel=1e-8)
    dummies = (HOUR[:, None] == np.arange(1, 24)).astype(float)
    direct = OLS(Y, add_constant(dummies)).fit(cov_type="HC1")
    line = np.array([np.polyfit(HOUR, column, 1)[0] for column in dummies.T])  # the line through the effects of hours
    error = math.sqrt(line @ direct.cov_params()[1:, 1:] @ line)
    assert found.standard_errors[0] == pytest.approx(error, rel=1e-6)


def test_curves_are_those_of_a_partialling_out_by_hand():
    model = fit("dml", Y, {"hour": HOUR}, ridge=(10.0,), seed=3)
    folds = PredefinedSplit(model.residuals_.fit.folds)
    features = TfidfVectorizer(analyzer=words, norm=None).fit_transform(TEXT)
    dummies = (HOUR[:, None] == np.arange(1, 24)).astype(float)
    targets = np.column_stack([Y, dummies])
    units = targets.std(axis=0)
    left = targets / units - cross_val_predict(Ridge(alpha=10.0, tol=1e-10), features, targets / units, cv=folds)
    effects = LinearRegression().fit(left[:, 1:], left[:, 0]).coef_ * units[0] / units[1:]
    expected = Y - dummies @ effects
    found = reward(model, Y, {"hour": HOUR})
    np.testing.assert_allclose(found - found.mean(), expected - expected.mean(), atol=0.02)  # other bases, one ridge
    slope = np.polyfit(HOUR, dummies @ effects, 1)[0]
    assert model.coef_[0] == pytest.approx(slope, abs=0.1 * model.correction_.standard_errors[0])


def test_a_line_is_found_as_before_and_noise_bends_it_little():
    popularity = np.random.default_rng(1).normal(size=N) + GUIDE
    outcome = 2 * popularity + GUIDE + NOISE
    curved, straight = (fit("dml", outcome, {"popularity": popularity}, curved=each) for each in (True, False))
    assert curved.coef_[0] == pytest.approx(2, abs=4 * curved.correction_.standard_errors[0])
    assert curved.correction_.standard_errors[0] < 1.1 * straight.correction_.standard_errors[0]
    rewards = [reward(each, outcome, {"popularity": popularity}) for each in (curved, straight)]
    assert np.corrcoef(*rewards)[0, 1] > 0.99
    assert straight.correction_.curves == ()


@pytest.mark.parametrize("kind", ["pandas", "texts with a zone"])
def test_a_date_has_an_hour_a_weekday_and_a_month(kind):
    when = pd.Timestamp("2023-01-01") + pd.to_timedelta(
        np.random.default_rng(1).integers(0, 730 * 24, size=N), unit="h"
    )
    effect = 2 * np.sin(2 * np.pi * when.hour / 24) + 2.0 * (when.weekday >= 5) + 1.5 * (when.month % 2)
    outcome = np.asarray(effect) + GUIDE + NOISE
    zones = np.random.default_rng(2).choice(["Z", "", "+09:00", "-05:00", "+05:30"], size=N)
    column = when if kind == "pandas" else [each.isoformat() + zone for each, zone in zip(when, zones, strict=True)]
    model = fit("dml", outcome, {"when": column})
    found = reward(model, outcome, {"when": column})
    assert {curve.part for curve in model.correction_.curves} == {"", "hour", "weekday", "month"}
    assert np.corrcoef(found, GUIDE + NOISE)[0, 1] > 0.97
    days = (when - pd.Timestamp(0)) / pd.Timedelta(days=1)
    expected = (when.hour, when.weekday, when.month - 1)
    for part, values in zip(("hour", "weekday", "month"), expected, strict=True):
        np.testing.assert_array_equal(part_of(np.asarray(days), part), values)


def test_what_two_confounders_do_together_is_removed_and_comes_back_from_json():
    mobile = np.random.default_rng(1).random(N) < 0.5
    columns = {"hour": HOUR, "device": np.where(mobile, "mobile", "desk")}
    outcome = SINE * mobile + GUIDE + NOISE
    model = fit("dml", outcome, columns)
    found = reward(model, outcome, columns)
    assert np.corrcoef(found, GUIDE + NOISE)[0, 1] > 0.95
    assert np.corrcoef(reward(fit("ols", outcome, columns), outcome, columns), GUIDE + NOISE)[0, 1] < 0.6
    assert "what device and hour do together" in model.correction_.formula
    loaded = Correction.from_json(model.correction_.to_json())
    assert loaded == model.correction_
    np.testing.assert_array_equal(loaded.correct(outcome, columns), found)


def test_no_pair_is_found_where_effects_add():
    columns = {"hour": HOUR, "device": np.where(np.random.default_rng(1).random(N) < 0.5, "mobile", "desk")}
    assert fit("dml", Y, columns).correction_.surfaces == ()


CODES = RNG.integers(3, size=N)
CODED = {
    "integers": CODES, "floats": CODES.astype(float), "texts": CODES.astype(str), "series": pd.Series(CODES),
    "integers of pandas": pd.Series(CODES).astype("category"), "labels": np.array(["a", "b", "c"])[CODES],
    "categorical": pd.Categorical(np.array(["a", "b", "c"])[CODES]),
}  # fmt: skip


@pytest.mark.parametrize("case", CODED)
def test_codes_are_labels_in_every_form(case):
    outcome = np.array([0.0, 9.0, 1.0])[CODES] + GUIDE + NOISE
    columns = {"f": np.random.default_rng(1).normal(size=N), "channel": CODED[case]}
    model = fit("ols", outcome, columns)
    found = reward(model, outcome, columns)
    means = [found[code == CODES].mean() for code in range(3)]
    assert np.ptp(means) == pytest.approx(0, abs=1e-6)
    assert model.correction_.columns == ("f", "channel")
    few = {name: column[:40] for name, column in columns.items()}  # too few to tell what they are
    np.testing.assert_allclose(reward(model, outcome[:40], few), found[:40])


def test_a_category_of_pandas_is_one_however_many_levels_it_has():
    columns = {"hour": pd.Series(HOUR).astype("category")}
    assert len(fit("ols", Y, columns).correction_.confounders) == 23
    whole = fit("ols", Y, {"hour": HOUR}).correction_
    assert whole.confounders == ("hour",)


ODD = {
    "ties": np.where(RNG.random(N) < 0.9, 0.0, RNG.exponential(size=N)),
    "an outlier": np.append(RNG.normal(size=N - 1), 1e6),
    "two values": (RNG.random(N) < 0.3).astype(float),
    "one row each": np.arange(N),
    "whole numbers": RNG.integers(31, size=N),
    "60 labels": np.array([f"l{each}" for each in RNG.integers(60, size=N)]),
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("name", ["ols", "dml", "fixed_effects"])
def test_odd_columns_leave_a_finite_reward_that_does_not_depend_on_the_order_of_rows(name, case):
    order = np.random.default_rng(1).permutation(N)
    rewards = []
    for rows in (np.arange(N), order):
        columns = {"odd": ODD[case][rows]}
        model = ESTIMATORS[name]()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CorrectionWarning)
            model.fit(Y[rows], columns, text=[TEXT[row] for row in rows], groups=GROUPS[rows])
        rewards.append(model.correct(Y[rows], columns, groups=GROUPS[rows]))
    assert np.isfinite(rewards[0]).all()
    assert rewards[0].std() < 1.1 * Y.std()
    np.testing.assert_allclose(rewards[1], rewards[0][order], atol=1e-6)


def test_few_rows_leave_a_line():
    found = fit("ols", Y[:40], {"size": np.random.default_rng(1).normal(size=40)}, text=None).correction_
    assert len(found.curves) == 0
    assert NaiveResidual().fit(Y[:200], np.random.default_rng(1).normal(size=200)).correction_.curves


def test_a_confounder_that_the_text_gives_away_is_refused():
    topic = np.array(["cats", "dogs", "cars"])[CODES]
    texts = [f"{name} {text}" for name, text in zip(topic, TEXT, strict=True)]
    with pytest.raises(
        ValueError, match=r"gives 'topic = \w+' away .* Leave 'topic' out .* choose the estimator `ols`"
    ):
        DoubleML().fit(Y, {"topic": topic, "hour": HOUR}, text=texts)
    assert fit("dml", Y, {"hour": HOUR}, texts).coef_.shape == (1,)
    assert fit("ols", Y, {"topic": topic, "hour": HOUR}, texts).coef_.shape == (3,)

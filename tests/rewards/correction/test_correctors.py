"""What holds for every estimator, and what each one finds where the truth is known."""

import warnings

import numpy as np
import pytest
from correction_tables import WORDS, Drawn, draw
from sklearn.base import clone

from rewards.correction import (
    ESTIMATORS,
    CorrectionWarning,
    DoubleML,
    FixedEffects,
    InstrumentalVariables,
    NaiveResidual,
    NoCorrection,
)

TRUE = 2.0
ALL = sorted(ESTIMATORS)


def fit(model, drawn: Drawn, *names, **changed):
    parts = {"text": drawn.text, "instruments": drawn.instrument, "groups": drawn.groups}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        passed = {name: parts[name] for name in names} | changed
        return model.fit(drawn.outcome, {"popularity": drawn.confounder}, **passed)


def fit_all_parts(name, drawn):
    return fit(ESTIMATORS[name](), drawn, "text", "instruments", "groups")


def distance(model):
    """Returns the error of the coefficient in standard errors."""
    return abs(model.coef_[0] - TRUE) / model.correction_.standard_errors[0]


@pytest.mark.parametrize("name", ALL)
def test_init_is_inert_and_clones_are_fresh(name):
    model = ESTIMATORS[name]()
    fitted = fit(clone(model), draw(600), "text", "instruments", "groups")
    assert vars(model) == model.get_params()
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not hasattr(copy, "correction_")
    assert all(key.endswith("_") for key in vars(fitted).keys() - fitted.get_params().keys())


@pytest.mark.parametrize("name", ALL)
def test_fit_returns_self_and_a_second_fit_forgets_the_first(name):
    first, second = draw(600, seed=1), draw(600, seed=2)
    model = fit_all_parts(name, first)
    assert fit(model, second, "text", "instruments", "groups") is model
    assert model.correction_ == fit_all_parts(name, second).correction_


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_rows_changes_nothing(name):
    drawn = draw(600, by_group=0.3)
    order = np.random.default_rng(1).permutation(600)
    moved = Drawn([drawn.text[row] for row in order], *(column[order] for column in drawn[1:]))
    here, there = fit_all_parts(name, drawn), fit_all_parts(name, moved)
    np.testing.assert_allclose(there.coef_, here.coef_, rtol=1e-6)
    np.testing.assert_allclose(there.correction_.intervals, here.correction_.intervals, rtol=1e-6)
    rewards = [m.correct(d.outcome, d.confounder, groups=d.groups) for m, d in ((here, drawn), (there, moved))]
    np.testing.assert_allclose(rewards[1], rewards[0][order], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["none", "ols", "dml", "iv"])
def test_the_reward_is_the_outcome_at_the_mean_confounder_also_out_of_sample(name):
    drawn, new = draw(600), draw(200, seed=9)
    model = fit_all_parts(name, drawn)
    away = new.confounder - drawn.confounder.mean()
    curves = [curve.at(away, model.correction_.means[0]) for curve in model.correction_.curves]
    expected = new.outcome - model.coef_[0] * away - sum(curves)
    assert len(curves) == (name not in ("none", "iv"))  # what an instrument moves is a line
    np.testing.assert_allclose(model.correct(new.outcome, {"popularity": new.confounder}), expected, rtol=1e-12)
    np.testing.assert_allclose(model.correct(new.outcome, new.confounder), expected, rtol=1e-12)
    assert model.correct(drawn.outcome, drawn.confounder).mean() == pytest.approx(drawn.outcome.mean())


def test_a_group_that_was_not_fitted_is_an_average_one():
    drawn = draw(900, by_group=0.5)
    model = fit(FixedEffects(curved=False), drawn, "text", "groups")
    effects = dict(model.correction_.group_effects)
    rows = np.array([0, 1])
    groups = np.array([drawn.groups[0], 10**6])
    with pytest.warns(CorrectionWarning, match="1 of 2 rows are of a group that was not fitted"):
        reward = model.correct(drawn.outcome[rows], drawn.confounder[rows], groups=groups)
    plain = drawn.outcome[rows] - model.coef_[0] * (drawn.confounder[rows] - drawn.confounder.mean())
    np.testing.assert_allclose(plain - reward, [effects[drawn.groups[0]], 0.0], atol=1e-12)
    assert model.correction_.unknown_groups(groups) == 1
    assert np.mean([effects[group] for group in drawn.groups]) == pytest.approx(0, abs=1e-10)


def test_a_text_worth_something_fools_the_naive_residual_only():
    drawn = draw()
    assert distance(fit(NaiveResidual(), drawn)) > 10
    assert distance(fit(DoubleML(), drawn, "text")) < 3
    assert distance(fit(InstrumentalVariables(), drawn, "instruments")) < 3
    assert distance(fit(InstrumentalVariables(), drawn, "text", "instruments")) < 3
    assert fit(NoCorrection(), drawn).coef_.tolist() == [0.0]


@pytest.mark.parametrize(("kind", "names"), [(DoubleML, ["text"]), (FixedEffects, ["text", "groups"])])
def test_a_text_without_spaces_is_controlled_for_like_one_with_them(kind, names):
    drawn = draw(1500)
    two = {word: chr(0x4E00 + 2 * number) + chr(0x4E01 + 2 * number) for number, word in enumerate(WORDS)}
    text = ["".join(two[word] for word in each.split()) for each in drawn.text]
    assert distance(fit(kind(), drawn, *names, text=text)) < 3


def test_an_unobserved_cause_fools_double_ml_and_not_the_instrument():
    drawn = draw(cause=0.7)
    assert distance(fit(DoubleML(), drawn, "text")) > 10
    assert distance(fit(InstrumentalVariables(), drawn, "text", "instruments")) < 3


def test_text_controls_make_the_interval_of_an_instrument_narrower():
    drawn = draw()
    with_text = fit(InstrumentalVariables(), drawn, "text", "instruments").correction_
    without = fit(InstrumentalVariables(), drawn, "instruments").correction_
    assert with_text.standard_errors[0] < 0.8 * without.standard_errors[0]
    assert (with_text.details["text_controls"], without.details["text_controls"]) == (True, False)


def test_fixed_effects_with_text_leave_a_group_what_its_texts_are_worth():
    drawn = draw(by_group=0.8)
    errors = {}
    for names in (("text", "groups"), ("groups",)):
        model = fit(FixedEffects(), drawn, *names)
        reward = model.correct(drawn.outcome, drawn.confounder, groups=drawn.groups)
        errors[names] = np.polyfit(drawn.worth, reward, 1)[0] - 1
    assert abs(errors["text", "groups"]) < 0.05
    assert errors["groups",] < -0.2


def test_fixed_effects_need_no_confounder_but_the_group():
    drawn = draw(by_group=0.8)
    nothing = np.empty((len(drawn.text), 0))
    model = FixedEffects().fit(drawn.outcome, nothing, text=drawn.text, groups=drawn.groups)
    reward = model.correct(drawn.outcome, nothing, groups=drawn.groups)
    assert model.correction_.formula == "reward = outcome - effect of the group"
    assert reward.std() < drawn.outcome.std()


def test_features_take_the_place_of_words():
    drawn = draw()
    model = fit(DoubleML(), drawn, features=np.column_stack([drawn.worth, drawn.worth**2]))
    assert distance(model) < 3


def with_channels(num_rows=600):
    """Draws rows whose outcome is 3 higher on the web than by mail or in the app."""
    drawn = draw(num_rows)
    channel = np.array(["mail", "web", "app"])[np.random.default_rng(1).integers(3, size=num_rows)]
    return drawn, channel, drawn.outcome + 3 * (channel == "web")


@pytest.mark.parametrize("name", ["ols", "dml", "iv", "fixed_effects"])
def test_a_category_is_taken_off(name):
    drawn, channel, outcome = with_channels()
    parts = {"text": drawn.text, "groups": drawn.groups}
    parts |= {"instruments": {"shock": drawn.instrument}} if name == "iv" else {}
    model = ESTIMATORS[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        found = model.fit(outcome, {"popularity": drawn.confounder, "channel": channel}, **parts).correction_
    assert found.columns == ("popularity", "channel")
    slopes = dict(zip(found.confounders, found.coefficients, strict=True))
    slopes[f"channel = {found.categories[0].levels[0]}"] = 0.0
    assert slopes["channel = web"] - slopes["channel = app"] == pytest.approx(3, abs=0.5)
    assert type(found).from_json(found.to_json()) == found


def test_rare_levels_are_put_together_and_unknown_ones_are_warned_of():
    drawn, channel, outcome = with_channels()
    rare = channel.astype(object)
    rare[:4], rare[4:8] = "phone", "fax"
    with pytest.warns(CorrectionWarning, match=r"'channel' has 5 levels; 2 of them, with fewer than 10 rows"):
        found = NaiveResidual().fit(outcome, {"popularity": drawn.confounder, "channel": rare}).correction_
    assert found.categories[0].levels[-1] == "(other)"
    known = NaiveResidual().fit(outcome, {"popularity": drawn.confounder, "channel": channel}).correction_
    with pytest.warns(CorrectionWarning, match=r"8 of 600 rows have a level of 'channel' that was not fitted"):
        reward = known.correct(outcome, {"popularity": drawn.confounder, "channel": rare})
    assert np.isfinite(reward).all()


def test_a_column_of_names_is_no_category():
    drawn = draw(600)
    names = np.array([f"author {i}" for i in range(600)])
    with pytest.raises(ValueError, match=r"a category of few levels, but has 600 different texts in 600 rows"):
        NaiveResidual().fit(drawn.outcome, {"popularity": drawn.confounder, "author": names})

import warnings

import numpy as np
import pytest
from correction_tables import draw
from linearmodels.iv import IV2SLS

from rewards.correction import CorrectionWarning, DoubleML, InstrumentalVariables


@pytest.fixture(scope="module")
def weak():
    return draw(2000, by_shock=0.0)


def fit(drawn, **settings):
    model = InstrumentalVariables(**settings)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(drawn.outcome, {"popularity": drawn.confounder}, text=drawn.text, instruments=drawn.instrument)
    assert [str(warning.message) for warning in caught] == list(model.correction_.warnings)
    assert {warning.category for warning in caught} <= {CorrectionWarning}
    return model.correction_


def test_a_weak_instrument_falls_back_to_double_ml(weak):
    found = fit(weak)
    direct = DoubleML().fit(weak.outcome, {"popularity": weak.confounder}, text=weak.text).correction_
    assert (found.estimator, found.requested) == ("dml", "iv")
    assert found.coefficients == pytest.approx(direct.coefficients, rel=1e-9)
    assert found.assumptions == direct.assumptions
    assert "below 10. Fell back to double ML" in found.warnings[-1]
    assert found.details["strength"] < 10


def test_a_weak_instrument_is_refused_or_kept_when_told_so(weak):
    with pytest.raises(ValueError, match=r"instruments are weak: .* below 10\. Find a stronger instrument"):
        fit(weak, on_weak_instrument="refuse")
    kept = fit(weak, on_weak_instrument="keep")
    assert kept.estimator == "iv"
    assert list(kept.coefficients) == kept.details["two_stage_coefficients"]
    assert "Kept as asked" in kept.warnings[-1]


def test_without_text_there_is_nothing_to_fall_back_to(weak):
    with pytest.raises(ValueError, match="without text there is nothing to fall back to"):
        InstrumentalVariables().fit(weak.outcome, weak.confounder, instruments=weak.instrument)


def test_the_bound_of_the_rule_can_be_moved():
    strong = draw(2000)
    assert fit(strong).estimator == "iv"
    assert fit(strong, weak_f=1e6).estimator == "dml"


def test_instruments_that_contradict_each_other_are_warned_of():
    drawn = draw(2000)
    rng = np.random.default_rng(5)
    second = drawn.instrument + rng.normal(size=2000)
    good = InstrumentalVariables()
    instruments = {"a": drawn.instrument, "b": second}
    good.fit(drawn.outcome, drawn.confounder, text=drawn.text, instruments=instruments)
    assert good.correction_.details["overidentification_p"] > 0.01
    assert good.correction_.warnings == ()
    direct = rng.normal(size=2000)
    instruments = {"a": drawn.instrument, "b": drawn.confounder + direct}
    with pytest.warns(CorrectionWarning, match="contradict each other"):
        InstrumentalVariables().fit(
            drawn.outcome + 2 * direct, drawn.confounder, text=drawn.text, instruments=instruments
        )


@pytest.mark.filterwarnings("ignore:.*No text was given")
@pytest.mark.parametrize(("groups", "number"), [(2, 2), (2, 3), (3, 3)])
def test_few_groups_leave_the_estimates_and_say_that_the_instruments_are_not_tested(groups, number):
    outcome, confounder, instruments = observed(number)
    labels = np.arange(len(outcome)) % groups
    model = InstrumentalVariables()
    with pytest.warns(CorrectionWarning, match=f"only {groups} groups"):
        model.fit(outcome, {"popularity": confounder}, instruments=instruments, groups=labels)
    found = model.correction_
    direct = IV2SLS(outcome, np.ones(len(outcome)), confounder, instruments)
    direct = direct.fit(cov_type="clustered", clusters=labels, debiased=True)
    np.testing.assert_allclose(found.coefficients, direct.params.to_numpy()[1:])
    np.testing.assert_allclose(found.standard_errors, direct.std_errors.to_numpy()[1:], rtol=1e-6)
    assert found.details["overidentification"] is found.details["overidentification_p"] is None
    expected = f"there are {groups} groups and {1 + number} conditions"
    assert expected in found.details["overidentification_test"]
    assert found.details["first_stage_f"] == pytest.approx({"popularity": found.details["cragg_donald"]})


@pytest.mark.filterwarnings("ignore")
def test_a_confounder_that_marks_one_group_leaves_the_instruments_untested():
    outcome, confounder, instruments = observed(2)
    labels = np.arange(len(outcome)) % 8
    confounders = {"popularity": confounder, "first": (labels == 0).astype(float)}
    model = InstrumentalVariables(instrumented=["popularity"])
    found = model.fit(outcome, confounders, instruments=instruments, groups=labels).correction_
    assert found.coefficients[0] == pytest.approx(2, abs=0.3)
    assert "conditions that vary between them; there are 8 groups" in found.details["overidentification_test"]


def observed(num_instruments):
    rng = np.random.default_rng(0)
    instruments, cause = rng.normal(size=(400, num_instruments)), rng.normal(size=400)
    confounder = instruments.sum(axis=1) + cause + rng.normal(size=400)
    return 2 * confounder + 3 * cause + rng.normal(size=400), confounder, instruments

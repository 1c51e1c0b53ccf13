import warnings

import numpy as np
import pytest
from correction_tables import draw

from rewards.correction import CorrectionWarning, DoubleML, InstrumentalVariables
from rewards.correction.diagnostics import first_stage


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
    assert first_stage(found)[0].is_weak


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

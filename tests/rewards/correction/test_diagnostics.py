import warnings
from dataclasses import replace

import numpy as np
import pytest
from correction_tables import draw
from scipy.stats import spearmanr
from statsmodels.stats.outliers_influence import variance_inflation_factor

from rewards.correction import CorrectionWarning, DoubleML, InstrumentalVariables, NaiveResidual
from rewards.correction.columns import Columns
from rewards.correction.diagnostics import (
    additivity,
    associations,
    collinearity,
    first_stage,
    overlap,
    placebo,
    rank_agreement,
)

DRAWN = draw(1500)
NAMED = {"popularity": DRAWN.confounder}


@pytest.fixture(scope="module")
def double_ml():
    return DoubleML().fit(DRAWN.outcome, NAMED, text=DRAWN.text)


def test_association_is_the_correlation_and_its_interval_covers_it():
    (found,) = associations(DRAWN.outcome, NAMED)
    assert found.name == "popularity"
    assert found.correlation == pytest.approx(np.corrcoef(DRAWN.outcome, DRAWN.confounder)[0, 1], rel=1e-9)
    assert found.low < found.correlation < found.high < found.correlation + 0.1
    (unrelated,) = associations(np.random.default_rng(0).normal(size=1500), NAMED)
    assert unrelated.low < 0 < unrelated.high


def test_only_the_naive_residual_ends_without_association(double_ml):
    naive = NaiveResidual().fit(DRAWN.outcome, NAMED)
    (after_naive,) = associations(naive.correct(DRAWN.outcome, NAMED), NAMED)
    (after_dml,) = associations(double_ml.correct(DRAWN.outcome, NAMED), NAMED)
    assert after_naive.correlation == pytest.approx(0, abs=1e-9)
    assert after_dml.low > 0.1


def test_association_leaves_out_rows_without_a_reward_and_takes_groups():
    reward = DRAWN.outcome.copy()
    reward[:5] = np.nan
    (found,) = associations(reward, NAMED, groups=DRAWN.groups)
    expected = np.corrcoef(reward[5:], DRAWN.confounder[5:])[0, 1]
    assert found.correlation == pytest.approx(expected, rel=1e-9)


def test_overlap_counts_the_rows_that_carry_the_estimate():
    alone = Columns(("a",), np.array([[-1.0], [1.0]] * 50))
    (even,) = overlap(alone)
    assert even.effective_rows == pytest.approx(100)
    one = np.zeros((100, 1))
    one[0] = 10
    (single,) = overlap(Columns(("a",), one))
    assert single.effective_rows == pytest.approx(1, abs=0.05)


def test_overlap_shrinks_by_what_text_and_other_confounders_explain(double_ml):
    columns = Columns(("popularity",), DRAWN.confounder[:, None])
    (found,) = overlap(columns, double_ml.residuals_.confounders)
    assert found.explained == pytest.approx(double_ml.correction_.details["text_r2"]["popularity"], abs=0.01)
    assert 0.2 < found.share < 0.5
    twin = DRAWN.confounder + 0.1 * np.random.default_rng(0).normal(size=1500)
    both = overlap(Columns(("a", "b"), np.column_stack([DRAWN.confounder, twin])))
    assert min(each.explained for each in both) > 0.95


def test_the_first_stage_is_read_off_a_correction(double_ml):
    fitted = InstrumentalVariables().fit(DRAWN.outcome, NAMED, text=DRAWN.text, instruments=DRAWN.instrument)
    (found,) = first_stage(fitted.correction_)
    assert (found.name, found.is_weak) == ("popularity", False)
    assert found.f_statistic > 100
    assert 0 < found.partial_r2 < 1
    assert first_stage(double_ml.correction_) == []
    mixed = replace(fitted.correction_, details=fitted.correction_.details | {"cragg_donald": 5.0})
    assert first_stage(mixed)[0].is_weak, "a weak mix of strong first stages"


def test_a_permuted_confounder_has_no_effect_and_a_permuted_instrument_moves_nothing():
    parts = {"text": DRAWN.text, "instruments": DRAWN.instrument, "repeats": 8}
    model = InstrumentalVariables(ridge=(10.0,))
    confounder = placebo(model, DRAWN.outcome, NAMED, permute="confounder", **parts)
    assert confounder.coefficients.shape == (8, 1)
    assert np.abs(confounder.coefficients.mean()) < 0.1
    assert confounder.coverage >= 0.75
    assert confounder.strengths.min() > 100
    instrument = placebo(model, DRAWN.outcome, NAMED, permute="instrument", **parts)
    assert np.median(instrument.strengths) < 4
    assert not hasattr(model, "correction_")


def test_a_placebo_repeats_with_its_seed_and_refuses_what_is_not_there():
    first, again = (placebo(NaiveResidual(), DRAWN.outcome, NAMED, repeats=2, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.coefficients, again.coefficients)
    with pytest.raises(ValueError, match="`permute` must be"):
        placebo(NaiveResidual(), DRAWN.outcome, NAMED, permute="instrument")


def test_rankings_are_compared():
    rng = np.random.default_rng(0)
    first = rng.normal(size=200)
    second = first + rng.normal(size=200)
    found = rank_agreement({"a": first, "b": second, "a again": 3 * first + 1})
    assert found.rank_correlation[0, 1] == pytest.approx(spearmanr(first, second).statistic)
    assert found.rank_correlation[0, 2] == pytest.approx(1)
    assert found.top_overlap[0, 2] == 1
    top = [set(np.argsort(each)[-20:].tolist()) for each in (first, second)]
    assert found.top_overlap[0, 1] == pytest.approx(len(top[0] & top[1]) / 20)
    with pytest.raises(ValueError, match="at least two to compare, got a"):
        rank_agreement({"a": first})


def test_an_interaction_with_the_text_is_found_and_none_where_there_is_none(double_ml):
    clean = additivity(("popularity",), double_ml.residuals_, double_ml.coef_)
    assert [each.term for each in clean] == ["popularity x text"]
    assert all(abs(each.coefficient) < 0.1 and each.p_value > 0.01 for each in clean)
    bent = DRAWN.outcome + DRAWN.confounder * (DRAWN.worth - DRAWN.worth.mean())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CorrectionWarning)
        model = DoubleML().fit(bent, NAMED, text=DRAWN.text)
    (by_text,) = additivity(("popularity",), model.residuals_, model.coef_)
    assert by_text.p_value < 1e-6
    assert by_text.low > 0


def test_collinearity_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    table = rng.normal(size=(300, 3))
    table[:, 2] += 2 * table[:, 0]
    centred = table - table.mean(axis=0)
    expected = [variance_inflation_factor(centred, number) for number in range(3)]
    assert [each.inflation for each in collinearity(table)] == pytest.approx(expected)
    assert collinearity(table[:, 0])[0].inflation == 1
    with_constant = [each.inflation for each in collinearity(np.column_stack([table, np.ones(300)]))]
    assert with_constant == pytest.approx([*expected, np.nan], nan_ok=True)

import warnings

import numpy as np
import pytest
from correction_tables import draw
from scipy.stats import spearmanr

from rewards.correction import CorrectionWarning, DoubleML, InstrumentalVariables, NaiveResidual
from rewards.correction.columns import Columns
from rewards.correction.diagnostics import (
    additivity,
    beyond_chance,
    bins,
    explained,
    overlap,
    placebo,
    rank_agreement,
)

DRAWN = draw(1500)
NAMED = {"popularity": DRAWN.confounder}


@pytest.fixture(scope="module")
def double_ml():
    return DoubleML().fit(DRAWN.outcome, NAMED, text=DRAWN.text)


@pytest.mark.parametrize("num_rows", [100, 300, 1000, 3000])
@pytest.mark.parametrize("levels", [2, 12, 50])
def test_a_share_beyond_chance_is_rare_by_chance_and_seldom_missed(num_rows, levels):
    rng, codes = np.random.default_rng([num_rows, levels]), np.arange(num_rows) % levels + 0.5
    effect = codes - codes.mean()
    bound = beyond_chance(num_rows, int(bins(codes).max()) + 1)

    def rate(share):
        weights = np.sqrt(share), np.sqrt(1 - share)
        drawn = (weights[0] * effect / effect.std() + weights[1] * rng.normal(size=num_rows) for _ in range(400))
        return np.mean([explained(values, codes) > bound for values in drawn])

    assert rate(0.0) <= 0.01
    assert rate(0.01) <= 0.02
    assert rate(0.5) > 0.99
    assert beyond_chance(num_rows, levels, 10) > bound if levels < 50 else bound > 0.01


def test_only_the_naive_residual_explains_nothing_and_the_worth_of_texts_may_stay(double_ml):
    naive = NaiveResidual().fit(DRAWN.outcome, NAMED)
    assert explained(naive.correct(DRAWN.outcome, NAMED), DRAWN.confounder) < 0.01
    assert explained(double_ml.correct(DRAWN.outcome, NAMED), DRAWN.confounder) > 0.02


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

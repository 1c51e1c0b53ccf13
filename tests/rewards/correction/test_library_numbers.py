"""Estimates are those of the library called directly, and sums over rows give the same ones."""

import numpy as np
import pytest
import statsmodels.api as sm
from correction_tables import columns, draw
from library_estimates import library_least_squares, library_two_stage, library_within
from linearmodels.iv import IV2SLS, IVGMM, AbsorbingLS
from linearmodels.panel import PanelOLS
from pandas import Categorical, DataFrame, MultiIndex, Series

from rewards.correction import FixedEffects, InstrumentalVariables, NaiveResidual
from rewards.correction._moments import CHUNK_ROWS, Layout, collect, in_chunks
from rewards.correction.fixed_effects import within_least_squares
from rewards.correction.least_squares import estimate, least_squares

CLOSE = {"rtol": 1e-8, "atol": 1e-10}


def two_stage(outcome, endogenous, instruments, exogenous, clusters=None, size=CHUNK_ROWS):
    read = in_chunks(np.column_stack([outcome, exogenous, endogenous, instruments]), clusters, size)
    layout = Layout(exogenous.shape[1], endogenous.shape[1], instruments.shape[1])
    return estimate(read, layout)


def same(ours, theirs):
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, **CLOSE)
    np.testing.assert_allclose(ours.standard_errors, theirs.standard_errors, **CLOSE)
    np.testing.assert_allclose(ours.intervals, theirs.intervals, **CLOSE)
    np.testing.assert_allclose(ours.p_values, theirs.p_values, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("clustered", [False, True])
def test_the_naive_residual_is_statsmodels(clustered):
    outcome, endogenous, exogenous, _, clusters = columns()
    confounders = np.hstack([endogenous, exogenous])
    fitted = NaiveResidual(curved=False).fit(outcome, confounders, groups=clusters if clustered else None).correction_
    settings = {"cov_type": "cluster", "cov_kwds": {"groups": clusters}} if clustered else {"cov_type": "HC1"}
    direct = sm.OLS(outcome, sm.add_constant(confounders)).fit(**settings, use_t=True)
    np.testing.assert_allclose(fitted.coefficients, direct.params[1:], **CLOSE)
    np.testing.assert_allclose(fitted.standard_errors, direct.bse[1:], **CLOSE)
    np.testing.assert_allclose(fitted.intervals, direct.conf_int()[1:], **CLOSE)


@pytest.mark.parametrize("clustered", [False, True])
def test_instrumental_variables_are_linearmodels(clustered):
    outcome, endogenous, exogenous, instruments, clusters = columns()
    confounders = {"a": exogenous[:, 0], "b": endogenous[:, 0], "c": exogenous[:, 1], "d": endogenous[:, 1]}
    model = InstrumentalVariables(instrumented=["b", "d"], curved=False)
    with pytest.warns(UserWarning, match="No text"):
        model.fit(outcome, confounders, instruments=instruments, groups=clusters if clustered else None)
    settings = {"cov_type": "clustered", "clusters": clusters} if clustered else {"cov_type": "robust"}
    direct = IV2SLS(outcome, sm.add_constant(exogenous), endogenous, instruments).fit(**settings, debiased=True)
    order = [1, 3, 2, 4]  # the library's: constant, exogenous, endogenous
    fitted, first = model.correction_, direct.first_stage.diagnostics
    np.testing.assert_allclose(fitted.coefficients, direct.params.to_numpy()[order], **CLOSE)
    np.testing.assert_allclose(fitted.standard_errors, direct.std_errors.to_numpy()[order], **CLOSE)
    f_statistics = first["f.stat"].to_numpy(dtype=float) / 3
    np.testing.assert_allclose(list(fitted.details["first_stage_f"].values()), f_statistics, **CLOSE)
    np.testing.assert_allclose(list(fitted.details["partial_r2"].values()), first["partial.rsquared"], **CLOSE)
    expected = direct.wooldridge_overid
    if clustered:
        data = (outcome, sm.add_constant(exogenous), endogenous, instruments)
        expected = IVGMM(*data, weight_type="clustered", clusters=clusters).fit(**settings).j_stat
    assert fitted.details["overidentification"] == pytest.approx(expected.stat, rel=1e-8)
    assert fitted.details["overidentification_p"] == pytest.approx(expected.pval, rel=1e-8)
    assert ("clustered by group" in fitted.details["overidentification_test"]) == clustered


def test_fixed_effects_are_linearmodels():
    drawn = draw(900, by_group=0.5)
    extra = np.random.default_rng(1).normal(size=(900, 2))
    confounders = np.column_stack([drawn.confounder, extra])
    with pytest.warns(UserWarning, match="No text"):
        fitted = FixedEffects(curved=False).fit(drawn.outcome, confounders, groups=drawn.groups).correction_
    index = MultiIndex.from_arrays([drawn.groups, np.arange(900)])
    panel = PanelOLS(Series(drawn.outcome, index), DataFrame(confounders, index), entity_effects=True)
    settings = {"cov_type": "clustered", "debiased": True}
    direct = panel.fit(cluster_entity=True, group_debias=True, **settings)
    absorb = DataFrame({"group": Categorical(drawn.groups)})
    other = AbsorbingLS(drawn.outcome, confounders, absorb=absorb).fit(clusters=drawn.groups, **settings)
    np.testing.assert_allclose(fitted.coefficients, direct.params, **CLOSE)
    np.testing.assert_allclose(fitted.standard_errors, direct.std_errors, **CLOSE)
    np.testing.assert_allclose(fitted.coefficients, other.params, rtol=1e-7)
    effects = direct.estimated_effects["estimated_effects"].groupby(level=0).first()
    expected = effects - effects.loc[drawn.groups].mean()
    np.testing.assert_allclose([effect for _, effect in fitted.group_effects], expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("clustered", [False, True])
def test_sums_over_rows_give_the_same_numbers(clustered):
    outcome, endogenous, exogenous, instruments, clusters = columns()
    clusters = clusters if clustered else None
    both = np.hstack([endogenous, exogenous])
    same(least_squares(outcome, both, clusters).estimates, library_least_squares(outcome, both, clusters))
    summed = two_stage(outcome, endogenous, instruments, exogenous, clusters, size=70)
    direct, over = library_two_stage(outcome, endogenous, instruments, exogenous, clusters)
    same(summed.estimates, direct)
    np.testing.assert_allclose(summed.overidentification, over.stat, **CLOSE)


def test_sums_over_rows_give_the_same_fixed_effects():
    drawn = draw(900, by_group=0.5)
    _, codes = np.unique(drawn.groups, return_inverse=True)
    confounders = np.column_stack([drawn.confounder, np.random.default_rng(1).normal(size=900)])
    same(within_least_squares(drawn.outcome, confounders, codes), library_within(drawn.outcome, confounders, codes))


def test_sums_keep_their_digits_with_large_means():
    outcome, endogenous, *_ = columns()
    moved = endogenous + np.array([1.7e9, 1e6])
    plain = least_squares(outcome, endogenous).estimates
    np.testing.assert_allclose(least_squares(outcome, moved).estimates.coefficients, plain.coefficients, rtol=1e-6)
    small = np.random.default_rng(0).integers(0, 5, (60_000, 2)).astype(float)  # a plain mean of so many is off by 0.8
    found = collect(in_chunks(1e12 + small))
    np.testing.assert_allclose(found.deviations, small.std(axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.means - 1e12, small.mean(axis=0), atol=1e-3)


def test_cragg_and_donald_is_the_classical_f_of_one_column():
    outcome, endogenous, exogenous, instruments, _ = columns()
    stages = two_stage(outcome, endogenous[:, :1], instruments, exogenous)
    first = sm.OLS(endogenous[:, 0], sm.add_constant(np.hstack([exogenous, instruments]))).fit()
    restriction = np.eye(6)[3:]
    assert stages.cragg_donald == pytest.approx(float(first.f_test(restriction).fvalue), rel=1e-8)


def test_two_weak_mixes_of_strong_instruments_are_seen():
    outcome, endogenous, exogenous, instruments, _ = columns(2000)
    twin = endogenous[:, 0] + np.random.default_rng(1).normal(size=2000)
    stages = two_stage(outcome, np.column_stack([endogenous[:, 0], twin]), instruments[:, :2], exogenous)
    assert stages.f_statistics.min() > 100
    assert stages.strength == stages.cragg_donald < 10


@pytest.mark.parametrize("clustered", [False, True])
def test_columns_that_determine_each_other_are_refused(clustered):
    outcome, endogenous, _, _, clusters = columns()
    for more in (endogenous @ [1.0, 2.0], np.zeros(len(outcome))):
        with pytest.raises(ValueError, match="must vary and must not determine each other"):
            least_squares(outcome, np.column_stack([endogenous, more]), clusters if clustered else None)


def test_instruments_that_move_by_group_agree_in_a_large_table_too():
    rng = np.random.default_rng(0)
    labels = np.arange(120_000) // 600
    instruments = rng.normal(size=(200, 2))[labels] + 0.1 * rng.normal(size=(120_000, 2))
    cause, unseen = rng.normal(size=120_000), rng.normal(size=200)[labels]
    endogenous = instruments.sum(axis=1) + cause + rng.normal(size=120_000)
    outcome = 2 * endogenous + 3 * cause + 3 * unseen + rng.normal(size=120_000)
    stages = two_stage(outcome, endogenous[:, None], instruments, np.empty((120_000, 0)), labels)
    assert stages.overidentification < 3.84  # chi-squared of one, at 0.05

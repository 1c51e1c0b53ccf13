import json

import numpy as np
import pytest
from observed_table import columns_of, observed_rows

from align.data.tables.observations import Observations
from align.methods.deconfound.correction.diagnosing import diagnose, sample_groups, within_prompts
from align.methods.deconfound.correction.fitting import CorrectionSettings, fit
from align.methods.deconfound.correction_page import build_correction_page


def observations(count=300, *, text=True, groups=True, prompt=False):
    data = {name: np.array(values) for name, values in columns_of(observed_rows(count)).items()}
    return Observations(
        data["clicks"],
        {"popularity": data["popularity"]},
        {"shock": data["shock"]},
        data["headline"].astype(object) if text else None,
        data["author"].astype(object) if groups else None,
        data["topic"].astype(object) if prompt else None,
        np.zeros(count, dtype=bool),
    )


@pytest.fixture(scope="module")
def diagnosed():
    rows, settings = observations(), CorrectionSettings(estimator="iv")
    corrector = fit(rows, settings)
    return rows, corrector, diagnose(corrector.correction_, rows, settings, corrector=corrector, repeats=5)


def test_every_diagnostic_is_there_and_is_json(diagnosed):
    numbers = diagnosed[2]
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers
    assert {each["term"] for each in numbers["additivity"]} == {"popularity x text"}
    assert numbers["overlap_knows_text"]
    assert 0 < numbers["overlap"][0]["share"] <= 1


def test_the_placebos_find_nothing(diagnosed):
    confounder, instrument = diagnosed[2]["placebo"]
    assert (confounder["what"], instrument["what"]) == ("confounder", "instrument")
    assert abs(np.mean(confounder["coefficients"])) < 0.2
    assert np.mean(instrument["strengths"]) < 5 < np.mean(confounder["strengths"])


def test_other_estimators_are_fitted_to_the_same_rows(diagnosed):
    found = diagnosed[2]["sensitivity"]
    assert [each["estimator"] for each in found["estimates"]] == ["iv", "none", "ols", "dml", "fixed_effects"]
    assert found["names"] == [each["estimator"] for each in found["estimates"]]
    by_name = {each["estimator"]: each["coefficients"][0] for each in found["estimates"]}
    assert by_name["none"] == 0 < by_name["iv"] < by_name["ols"]  # the cause and the text push least squares up


def test_what_the_columns_do_not_allow_says_why():
    rows, settings = observations(text=False, groups=False), CorrectionSettings(estimator="ols")
    corrector = fit(rows, settings)
    numbers = diagnose(corrector.correction_, rows, settings, corrector=corrector, repeats=2)
    assert "text" in numbers["sensitivity"]["not_run"]["dml"]
    assert "groups" in numbers["sensitivity"]["not_run"]["fixed_effects"]
    assert (numbers["additivity"], numbers["overlap_knows_text"], numbers["within"]) == ([], False, None)


def test_a_correction_that_is_constant_within_prompts_has_no_share_within():
    rows = observations(prompt=True)
    labels = np.unique(rows.prompt.astype(str), return_inverse=True)[1].astype(float)
    assert within_prompts(rows, rows.outcome - labels)["share_within"] == pytest.approx(0, abs=1e-12)
    popularity = rows.confounders["popularity"]
    assert within_prompts(rows, rows.outcome - popularity)["share_within"] > 0.9
    assert within_prompts(rows, rows.outcome)["share_within"] == 0


def test_a_sample_holds_whole_groups():
    rows = observations(300)
    few, kept = sample_groups(rows, 150, seed=0)
    assert 140 < few.num_rows <= 150
    assert {(rows.groups == group).sum() for group in few.groups} == {6}
    assert {(few.groups == group).sum() for group in few.groups} == {6}
    np.testing.assert_array_equal(rows.outcome[kept], few.outcome)
    assert sample_groups(rows, 300, seed=0)[0] is rows
    assert sample_groups(rows._replace(groups=None), 100, seed=0)[0].num_rows == 100


@pytest.mark.parametrize("large", [100, 280], ids=["three of a size", "one beside many small"])
def test_a_sample_of_few_large_groups_holds_rows_of_each(large):
    labels = np.array([f"site {row // large if large == 100 else max(0, row - large)}" for row in range(300)], object)
    rows = observations(300)._replace(groups=labels)
    few, kept = sample_groups(rows, 120, seed=0)
    assert len(kept) == few.num_rows == 120
    assert len(set(few.groups)) > 2
    settings = CorrectionSettings(estimator="fixed_effects")
    numbers = diagnose(fit(rows, settings).correction_, few, settings, repeats=2)
    assert {"fixed_effects", "ols", "none"} <= set(numbers["sensitivity"]["names"])


@pytest.mark.filterwarnings("ignore")  # of the libraries, about the constant
def test_a_confounder_that_is_constant_in_the_sample_leaves_the_rest_of_the_page(tmp_path):
    rows = observations(300)
    rows = rows._replace(confounders=rows.confounders | {"rare": (np.arange(300) > 290).astype(float)})
    settings = CorrectionSettings(estimator="ols")
    correction = fit(rows, settings).correction_
    numbers = diagnose(correction, rows.take(np.arange(290)), settings, repeats=2)
    assert numbers["sensitivity"]["names"] == numbers["sensitivity"]["rank_correlation"] == []
    assert "'rare' must vary" in numbers["sensitivity"]["not_run"]["dml"]
    popularity, rare = numbers["overlap"]
    assert (rare["effective_rows"], popularity["effective_rows"] > 10) == (0, True)
    build_correction_page(correction, numbers, {"Outcome": "clicks"}, [], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "Sensitivity to the estimator" in page
    assert "Do the rankings agree?" not in page


def test_the_page_says_why_instruments_were_not_tested(tmp_path):
    rows = observations(300, text=False)
    more = rows.instruments["shock"] + np.random.default_rng(0).normal(size=300)
    rows = rows._replace(instruments=rows.instruments | {"more": more}, groups=np.array(["a", "b"] * 150, object))
    settings = CorrectionSettings(estimator="iv")
    correction = fit(rows, settings).correction_
    numbers = diagnose(correction, rows, settings, repeats=2)
    build_correction_page(correction, numbers, {"Outcome": "clicks"}, [], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "whether they contradict each other is not tested" in page
    assert "there are 2 groups and 3 conditions" in page


def test_a_confounder_that_never_differs_in_the_sample_leaves_the_other_diagnostics():
    rows, settings = observations(text=False), CorrectionSettings(estimator="ols")
    rare = np.zeros(300)
    rare[:2] = 1.5, 2.5
    rows = rows._replace(confounders=rows.confounders | {"rare": rare})
    found = fit(rows, settings).correction_
    numbers = diagnose(found, rows.take(np.arange(2, 300)), settings, repeats=2)
    assert [each["share"] > 0.1 for each in numbers["overlap"]] == [True, False]
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers

import json

import numpy as np
import pytest
from observed_table import columns_of, observed_rows, write_outcome_recipe, write_table

from align.checks.launch import read_launch
from align.errors import DataError
from align.methods.deconfound.data import load
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from rewards.correction import ESTIMATORS


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(**changes):
        return load_recipe(write_outcome_recipe(tmp_path, tiny_model_folder, **changes))

    return write


def findings_of(recipe, name):
    return [finding for finding in prepare(recipe, read_launch(None)).findings if finding.check == name]


def direct(name):
    data = columns_of(observed_rows(240))
    columns = {"text": data["headline"], "groups": data["author"]}
    if name == "iv":
        columns["instruments"] = {"shock": data["shock"]}
    made = ESTIMATORS[name]()
    return made.fit(data["clicks"], {"popularity": data["popularity"]}, **columns)


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_the_correction_is_fitted_to_training_rows_only_and_applied_out_of_sample(recipe, name):
    data = load(recipe(dataset={"estimator": name, "eval_path": "./eval.csv"}))
    expected = direct(name)
    np.testing.assert_allclose(data.extra.correction.coefficients, expected.coef_, rtol=0, atol=1e-8)
    train, held_out = columns_of(observed_rows(240)), columns_of(observed_rows(60, seed=1))
    corrected = expected.correct(train["clicks"], {"popularity": train["popularity"]}, groups=train["author"])
    assert (data.extra.scale.mean, data.extra.scale.deviation) == pytest.approx((corrected.mean(), corrected.std()))
    labels = [row["label"] for row in data.rows]
    assert (np.mean(labels), np.std(labels)) == pytest.approx((0, 1), abs=1e-9)
    out = expected.correct(held_out["clicks"], {"popularity": held_out["popularity"]}, groups=held_out["author"])
    found = np.array([row["label"] for row in data.eval_rows]) * data.extra.scale.deviation + data.extra.scale.mean
    np.testing.assert_allclose(found, out, atol=1e-8)
    assert data.eval_rows[0]["outcome"] == held_out["clicks"][0]


def test_confounders_as_input_stand_before_the_prompt_and_are_fixed_at_their_mean_in_evaluation(recipe):
    data = load(recipe(dataset={"estimator": "input", "eval_path": "./eval.csv"}))
    values = np.array(columns_of(observed_rows(240))["popularity"])
    first = (values[0] - values.mean()) / values.std()
    assert data.rows[0]["prompt"] == f"popularity {first:+.1f}\nq0?"
    assert {row["prompt"].partition("\n")[0] for row in data.eval_rows} == {"popularity +0.0"}
    assert (data.extra.scale.prefix, data.extra.correction.coefficients) == ("popularity +0.0\n", (0.0,))


def test_the_check_says_what_is_removed(recipe):
    correction, = findings_of(recipe(), "correction")  # fmt: skip
    assert correction.level == "ok"
    assert "iv: reward = outcome - 2." in correction.text
    assert json.dumps(correction.numbers)
    batch, = findings_of(recipe(), "batch")  # fmt: skip
    assert "8 texts. One pass over 240 texts takes 30 steps." in batch.text
    memory, = findings_of(recipe(), "memory")  # fmt: skip
    assert "512 tokens" in memory.text


def test_warnings_of_the_estimator_and_unknown_groups_are_findings(recipe):
    config = recipe(dataset={"estimator": "fixed_effects", "eval_path": "./other.csv"})
    rows = [row | {"author": "nobody"} for row in observed_rows(60, seed=2)]
    write_table(config.path.parent / "other.csv", rows)
    texts = [finding.text for finding in findings_of(config, "correction") if finding.level == "warning"]
    assert any("60 of 60 evaluation rows are of groups that were not in training" in text for text in texts)


def test_missing_values_stop_or_are_counted(recipe, tmp_path):
    config = recipe()
    rows = observed_rows(240)
    rows[5]["popularity"] = None
    write_table(tmp_path / "train.csv", rows)
    with pytest.raises(DataError, match="row 7, column `popularity`: the value is missing"):
        load(config)
    skipping = load_recipe(config.path, ["--dataset.on_bad_rows", "skip"])
    assert len(load(skipping).rows) == 239
    assert any("popularity (1)" in finding.text for finding in findings_of(skipping, "data"))


@pytest.mark.parametrize(
    ("settings", "level", "words"),
    [
        ({}, "ok", "at most, of `max_length` = 64"),
        ({"max_length": 15}, "error", "of 240 texts are longer than `max_length`, and left out: train-"),
        ({"max_length": 15, "dataset": {"on_bad_rows": "skip"}}, "warning", "set `max_length: 16`"),
        ({"max_length": 12, "dataset": {"on_bad_rows": "skip"}}, "error", "240 of 240 texts are longer"),
        ({"dataset": {"conversational": True}}, "ok", "tokens on average"),
    ],
)
def test_lengths_are_measured_as_the_trainer_does(recipe, settings, level, words):
    (found,) = findings_of(recipe(**settings), "lengths")
    assert (found.level, words in found.text) == (level, True), found.text


def test_a_text_that_ends_itself_is_not_ended_twice_and_the_window_counts(recipe, tmp_path):
    (plain,) = findings_of(recipe(), "lengths")
    config = recipe(max_length=None)
    rows = [row | {"headline": row["headline"] + "<eos>"} for row in observed_rows(240)]
    write_table(tmp_path / "train.csv", rows)
    assert findings_of(config, "lengths")[0].numbers == plain.numbers
    write_table(tmp_path / "train.csv", [rows[0] | {"headline": "a" * 600}, *rows[1:]])
    (error,) = findings_of(config, "lengths")
    assert (error.level, error.numbers["window"]) == ("error", 512)


def test_that_all_texts_are_too_long_is_said_only_where_the_shortest_is(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("align.checks.lengths.AUDITED", 5)
    config = recipe(max_length=17, dataset={"on_bad_rows": "skip"})
    rows = [row | {"headline": "a" * (20 + number)} for number, row in enumerate(observed_rows(240))]
    for short, level, counted in (("a", "warning", 4), ("a" * 20, "error", 5)):
        write_table(tmp_path / "train.csv", [rows[0] | {"headline": short}, *rows[1:]])
        (found,) = findings_of(config, "lengths")
        assert (found.level, f"At least {counted} of 240 texts" in found.text) == (level, True), found.text


def test_an_outcome_that_does_not_vary_is_refused(recipe, tmp_path):
    config = recipe(dataset={"estimator": "ols"})
    write_table(tmp_path / "train.csv", [row | {"clicks": 1.0} for row in observed_rows(240)])
    with pytest.raises(DataError, match="must vary"):
        load(config)


def test_a_confounder_that_is_the_outcome_leaves_nothing_to_learn(recipe, tmp_path):
    config = recipe(dataset={"estimator": "ols"})
    write_table(tmp_path / "train.csv", [row | {"clicks": 3 * row["popularity"]} for row in observed_rows(240)])
    with pytest.raises(DataError, match=r"explain all of 'clicks'.*nothing to learn"):
        load(config)

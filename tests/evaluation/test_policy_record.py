import json
import os
from dataclasses import replace

import pandas as pd
import pytest
from scripted_policies import AlwaysA, ConstantLiar, Copier, Solver
from scripted_run import evaluate, make_questions
from written_evaluation import about

from align.errors import UserError
from align.evaluation.engine import Finished
from align.evaluation.record import as_json
from align.evaluation.record.record import About
from align.evaluation.results import save_evaluation
from align.evaluation.suites import explain, glossary
from align.evaluation.suites.questions.evaluation import item_rows, policy_record, warn
from align.evaluation.suites.questions.suite import SUITES, SuiteSettings
from align.models.policies.asking import Decoding

QUESTIONS = make_questions(12)


def record_of(*policies, num_samples=1, **settings):
    results = {type(each).__name__: evaluate(each, QUESTIONS, num_samples, **settings) for each in policies}
    decoding = Decoding(num_samples=num_samples, temperature=float(num_samples > 1))
    what = About.model_validate(about(list(results), len(QUESTIONS)))
    return policy_record(what, results, QUESTIONS, SuiteSettings(decoding=decoding, **settings)), results


def test_a_record_is_json_without_nan_and_explains_every_metric():
    record = as_json(record_of(Copier(), AlwaysA(), num_samples=2, suites=SUITES)[0])
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    metrics = {metric for suite in record["suites"].values() for model in suite.values() for metric in model}
    assert [metric for metric in metrics if explain(metric) is None] == []
    assert set(record["glossary"]) <= set(glossary())
    assert all(set(each) == {"label", "meaning", "better"} for each in record["glossary"].values())
    assert record["suites"]["reliance"]["AlwaysA"]["same_answer/other"]["value"] is None


def test_wins_and_losses_are_against_each_baseline():
    record, _ = record_of(Solver(), AlwaysA(), ConstantLiar())
    always, liar = record.paired
    assert (always.model, always.baseline, liar.baseline) == ("Solver", "AlwaysA", "ConstantLiar")
    assert always.wins == [question.id for question in QUESTIONS if question.answer != 0]
    assert (liar.losses, liar.num_both, len(liar.wins)) == ([], 0, 12)
    assert liar.mcnemar_p == pytest.approx(2 / 2**12)
    difference = next(
        each.difference for each in record.comparisons if (each.baseline, each.metric) == ("AlwaysA", "accuracy")
    )
    assert difference.value == pytest.approx(0.75)


def test_what_limits_the_numbers_is_said_with_its_number():
    record, _ = record_of(Copier())
    texts = [warning.text for warning in record.warnings]
    assert any(text.startswith("12 of 12 traces (100%) name an option's letter") for text in texts)
    assert any("Only 0 of 12 traces state one option" in text for text in texts)


def test_questions_that_are_not_shuffled_are_counted_once_however_many_samples_they_have():
    fixed = replace(QUESTIONS[0], options=(*QUESTIONS[0].options[:-1], "both A and B"))
    result = evaluate(Copier(), [fixed, *QUESTIONS[1:]], 4)
    said = "1 of 12 questions refer to letters or places and were not shuffled."
    assert said in warn(result, 4)


def test_every_answer_is_on_disk(tmp_path):
    record, results = record_of(ConstantLiar())
    rows = item_rows("liar", results["ConstantLiar"], QUESTIONS, ["prompt"] * 12, 1)
    save_evaluation(tmp_path, Finished(record, rows))
    items = pd.read_parquet(tmp_path / "items.parquet")
    assert list(items.id) == [question.id for question in QUESTIONS]
    assert (items.first_choice == (items.gold + 1) % 4).all()
    assert (items.consistent == 1).all()
    assert not items.correct.any()
    assert items.options.iloc[0].tolist() == list(QUESTIONS[0].options)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == as_json(record)


def test_a_folder_that_cannot_be_written_leaves_what_was_there(tmp_path):
    record, results = record_of(Solver(), suites=("accuracy",))
    rows = item_rows("solver", results["Solver"], QUESTIONS, ["prompt"] * 12, 1)
    (tmp_path / f".evaluation.json.{os.getpid()}").mkdir()
    (tmp_path / "evaluation.json").write_text("before")
    with pytest.raises(UserError, match=r"cannot be written to .* Free space there and give the same command again"):
        save_evaluation(tmp_path, Finished(record, rows))
    assert (tmp_path / "evaluation.json").read_text() == "before"

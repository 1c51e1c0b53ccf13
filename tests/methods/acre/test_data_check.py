import hashlib
import json

import pytest
from written_questions import write_questions

from align.checks.counts import check_counts
from align.checks.recipe import check_rows
from align.errors import DataError
from align.methods.acre.data import load
from align.recipe.recipe import load_recipe


def check_questions(recipe, data):
    counts = check_counts(recipe, data.report, len(data.eval_rows), data.eval_report)
    return counts + [each for each in check_rows(recipe, data) if each.check == "letters"]


def test_balanced_letters_pass_without_a_word(tiny_recipe):
    recipe = load_recipe(tiny_recipe())
    assert [finding.level for finding in check_questions(recipe, load(recipe))] == ["ok"]


def test_unbalanced_letters_are_warned_about_and_the_option_named(tiny_recipe, tmp_path):
    path = tiny_recipe()
    write_questions(tmp_path / "train.jsonl", gold="B")
    recipe = load_recipe(path)
    (warning,) = [finding for finding in check_questions(recipe, load(recipe)) if finding.level == "warning"]
    assert "B in 40 of 40 rows of 4 options (100% [91%, 100%], by chance 25%)" in warning.text
    assert "`dataset.shuffle_options: true`" in warning.text
    shuffled = load_recipe(path, ["--dataset.shuffle_options", "true"])
    data = load(shuffled)
    assert [finding.level for finding in check_questions(shuffled, data)] == ["ok"]
    assert len({row["answer"] for row in data.rows}) == 4


def test_rows_left_out_are_counted_with_the_first_in_full(tiny_recipe, tmp_path):
    path = tiny_recipe(dataset={"on_bad_rows": "skip"})
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"question": "?", "options": ["a", "b"], "answer": "z"}\n{"question": \n')
    recipe = load_recipe(path)
    counts, warning = check_questions(recipe, load(recipe))
    assert counts.numbers == {"read": 42, "kept": 40, "left_out": 2, "unshufflable": 0}
    assert "2 rows are left out" in warning.text
    assert "row 41, column `answer`" in warning.text
    with pytest.raises(DataError, match="row 41"):
        load(load_recipe(path, ["--dataset.on_bad_rows", "raise"]))


def test_evaluation_questions_are_read_and_never_shuffled(tiny_recipe, tmp_path):
    write_questions(tmp_path / "eval.jsonl", count=5, gold="C")
    recipe = load_recipe(tiny_recipe(dataset={"eval_path": "./eval.jsonl", "shuffle_options": True}))
    data = load(recipe)
    assert [row["answer"] for row in data.eval_rows] == [2] * 5
    assert any("5 for evaluation" in finding.text for finding in check_questions(recipe, data))


def test_the_files_are_fingerprinted(tiny_recipe, tmp_path):
    data = load(load_recipe(tiny_recipe()))
    digest = hashlib.sha256((tmp_path / "train.jsonl").read_bytes()).hexdigest()
    assert data.fingerprints == {"train.jsonl": digest}


def test_prompts_are_rendered_with_the_recipe_template(tiny_recipe, tmp_path):
    path = tiny_recipe(dataset={"prompt_template": "{options}|{question}"})
    (tmp_path / "train.jsonl").write_text(json.dumps({"question": "Hm?", "options": ["x", "y"], "answer": 1}))
    assert load(load_recipe(path)).rows[0]["prompt"] == "A. x\nB. y|Hm?"

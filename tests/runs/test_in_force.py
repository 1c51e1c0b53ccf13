"""The recipe of a run holds every value in force; what nobody wrote stands there as comments, which nobody reads."""

import pytest
from some_recipes import OUTCOMES, PROMPTS

from align.methods import METHODS
from align.recipe.alarms import limits_with
from align.recipe.keys import keys_of
from align.recipe.recipe import load_recipe
from align.recipe.yaml_loader import dump_yaml, load_yaml, parse_yaml
from align.runs.folder import check_same_run, record_run
from align.services.one_run import HEAD, unwritten
from align.training.build import build_config

COLUMNS = {OUTCOMES: {"text": "t", "outcome": "y", "confounders": ["c"]}}


@pytest.fixture
def recipe_of(tmp_path):
    def write(method, **keys):
        rewards = {"reward_funcs": ["format"]} if METHODS[method].has_rewards else {}
        dataset = {"path": "./rows.jsonl"} | COLUMNS.get(method, {})
        content = {"method": method, "model_name_or_path": "./model", "dataset": dataset} | rewards | keys
        (tmp_path / "written.yaml").write_text(dump_yaml(content))
        return load_recipe(tmp_path / "written.yaml")

    return write


def comments_of(recipe):
    lines = unwritten(recipe, build_config(recipe)).removeprefix(HEAD).splitlines()
    return dict(line.removeprefix("# ").split(": ", 1) for line in lines if not line.startswith("# -- "))


@pytest.mark.parametrize("method", METHODS)
def test_every_key_is_written_or_a_comment(recipe_of, method):
    recipe = recipe_of(method)
    comments = comments_of(recipe)
    block = {f"dataset.{name}" for name in recipe.resolved["dataset"]}
    assert {*comments, *recipe.resolved, *block} == {key.name for key in keys_of(method)}
    assert not {*comments} & {*block, "method", "dataset", "reward_funcs"}
    for value in comments.values():
        parse_yaml(value)


def test_comments_have_what_became_of_settings(recipe_of):
    comments = comments_of(recipe_of(PROMPTS, num_generations=4, per_device_train_batch_size=4, report_to="none"))
    assert comments["generation_batch_size"] == "4", "TRL works it out"
    assert comments["report_to"] == "[]  # written as none"
    assert "num_generations" not in comments
    assert comments["log_completions"] == "true"
    assert parse_yaml(comments["alarms"]) == limits_with({})
    assert comments["learning_rate"] == "1.0e-06"


def test_comments_hold_no_secret(recipe_of):
    recipe = recipe_of(PROMPTS, hub_token="very-secret-1", model_init_kwargs={"token": "very-secret-2"})
    comments = comments_of(recipe)
    assert "use_safetensors: true" in comments["model_init_kwargs"], "in force, and not as it was written"
    assert "very-secret" not in str(comments)


def test_a_run_goes_on_and_is_made_again_from_its_recipe_with_comments(recipe_of, tmp_path):
    recipe = recipe_of(PROMPTS, beta=0.1)
    text = unwritten(recipe, build_config(recipe))
    record_run(tmp_path / "run", recipe.resolved, {}, text)
    check_same_run(tmp_path / "run", recipe.resolved)
    assert load_yaml(tmp_path / "run" / "recipe.yaml") == recipe.resolved
    again = load_recipe(tmp_path / "run" / "recipe.yaml")
    assert again.resolved == recipe.resolved
    assert unwritten(again, build_config(again)) == text

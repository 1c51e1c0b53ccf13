import re
from pathlib import Path

import pytest
import yaml
from observed_table import write_chain_recipe
from some_recipes import OUTCOMES, PAIRS, PROMPTS, QUESTIONS, REWARD_PAIRS

from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.recipe.reward_settings import short_name


@pytest.fixture
def path(tmp_path):
    def write(then=None, **changes):
        return write_chain_recipe(tmp_path, tmp_path / "model", then, **changes)

    return write


def test_the_second_run_goes_into_the_folder_of_the_first_and_is_rewarded_by_its_model(path, tmp_path):
    recipe = load_recipe(path({"reward_funcs": ["format", "trained"], "reward_weights": [0.1, 1.0]}))
    second = recipe.then
    assert (second.method, second.settings.output_dir) == (PROMPTS, str(tmp_path / "run" / PROMPTS))
    assert (second.reward_funcs, second.trained) == (["format", f"trained={tmp_path}/run"], str(tmp_path / "run"))
    assert second.dataset.path == str(tmp_path / "prompts.jsonl")  # relative to the recipe, as everything else
    assert (recipe.trained, second.then) == (None, None)


def test_other_keys_and_metrics_name_the_reward_model_as_the_recipe_does_wherever_its_folder_is(path):
    keys = {
        "reward_funcs": ["trained"], "audit_funcs": ["format"], "reward_clip": {"trained": [-1, 1]},
        "alarms": {"trained/length": None},
    }  # fmt: skip
    recipe = load_recipe(path(keys))
    settings = recipe.then.rewards
    assert (list(settings.reward_clip), list(settings.alarms)) == (["trained"], ["trained/length"])
    assert short_name(recipe.then.reward_funcs[0]) == "trained"


def test_overrides_reach_both_runs(path, tmp_path):
    words = ["--max_steps", "7", "--then.max_steps", "9", "--then.dataset.max_rows", "4", "--output_dir", "other"]
    recipe = load_recipe(path(), words)
    assert (recipe.settings.max_steps, recipe.then.settings.max_steps) == (7, 9)
    assert recipe.then.dataset.max_rows == 4
    assert recipe.then.settings.output_dir == str(Path("other") / PROMPTS)
    assert recipe.then.reward_funcs == [f"trained={Path('other').resolve()}"]


def test_what_a_run_records_can_be_run_again(path, tmp_path):
    recipe = load_recipe(path())
    for name, resolved in (("first.yaml", recipe.resolved), ("second.yaml", recipe.then.resolved)):
        (tmp_path / name).write_text(yaml.safe_dump(dict(resolved)))
    assert load_recipe(tmp_path / "first.yaml").then.reward_funcs == recipe.then.reward_funcs
    assert load_recipe(tmp_path / "second.yaml").reward_funcs == recipe.then.reward_funcs


@pytest.mark.parametrize(
    ("then", "changes", "words"),
    [
        ({"learning_rat": 1}, {}, "In `then`: Unknown key `learning_rat`"),
        ({"num_generations": 1}, {}, "In `then`: `num_generations` must be at least 2"),
        ({"reward_funcs": ["accuracy"]}, {}, f"must name `trained`, the reward model that {OUTCOMES} trains"),
        ({"method": PAIRS}, {}, f"`then.method` must be one of {PROMPTS}, {QUESTIONS}"),
        ({"then": {}}, {}, "a chain has two runs"),
        ({"output_dir": "./run"}, {}, "`then.output_dir` is that of the first run"),
        ({"output_dir": 5}, {}, "In `then`: `output_dir`"),
        ({}, {"use_peft": True}, "cannot use an adapter"),
    ],
)
def test_a_chain_that_cannot_be_run_is_refused(path, then, changes, words):
    with pytest.raises(RecipeError, match=re.escape(words)):
        load_recipe(path(then, **changes))


def test_only_reward_models_have_a_second_run(path):
    content = yaml.safe_load(path().read_text())
    recipe = path()
    recipe.write_text(yaml.safe_dump(content["then"] | {"then": content["then"]}))
    with pytest.raises(RecipeError, match=rf"trained before \({REWARD_PAIRS}, {OUTCOMES}\); {PROMPTS} trains none"):
        load_recipe(recipe)
    recipe.write_text(yaml.safe_dump(content | {"then": PROMPTS}))
    with pytest.raises(RecipeError, match="`then` must be a block with the keys of a recipe"):
        load_recipe(recipe)
    pairwise = {"method": REWARD_PAIRS, "dataset": {"path": "x"}, "model_type": "pairwise", "then": content["then"]}
    recipe.write_text(yaml.safe_dump({"model_name_or_path": "m"} | pairwise))
    with pytest.raises(RecipeError, match="a pairwise model gives none"):
        load_recipe(recipe)

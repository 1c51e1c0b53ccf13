"""Keys that are none come all at once, wherever in a recipe they stand."""

import pytest
from some_recipes import DEMONSTRATIONS, PAIRS, PROMPTS, QUESTIONS, REWARD_PAIRS

from align.errors import RecipeError
from align.models.rewards import resolve_rewards
from align.recipe.recipe import load_recipe, parse_recipe
from rewards.catalog import resolve_reward


def content(**changes):
    keys = {"method": PROMPTS, "model_name_or_path": "owner/model", "dataset": {"path": "rows.jsonl"}}
    return keys | {"reward_funcs": ["accuracy", "length"]} | changes


def refusal(tmp_path, **changes):
    with pytest.raises(RecipeError) as refused:
        parse_recipe(content(**changes), tmp_path / "recipe.yaml")
    return str(refused.value)


def test_those_of_the_top_the_data_and_the_rewards_are_one_error(tmp_path):
    mix = [{"path": "a", "wieght": 1}, {"path": "b", "splt": "train"}]
    data = {"mix": mix, "colums": {}, "max_row": 3}
    text = refusal(tmp_path, learning_rat=1, sed=2, dataset=data, reward_kwargs={"lenght": {}, "acuracy": {}})
    named = ("learning_rat", "sed", "dataset.colums", "dataset.max_row", "dataset.mix.0.wieght", "dataset.mix.1.splt")
    assert [name for name in named if f"Unknown key `{name}`" not in text] == []
    meant = ("learning_rate", "seed", "columns", "max_rows", "weight", "split", "length", "accuracy")
    assert [name for name in meant if f"Did you mean '{name}'?" not in text] == []
    assert [name for name in ("lenght", "acuracy") if f"`reward_kwargs.{name}` belongs to no reward" not in text] == []


def test_those_of_the_blocks_of_libraries_are_one_error(tmp_path):
    blocks = {"lr_scheduler_kwargs": {"a": 1, "b": 2}, "accelerator_config": {"split_batchs": True}}
    text = refusal(tmp_path, **blocks)
    for name in ("lr_scheduler_kwargs.a", "lr_scheduler_kwargs.b", "accelerator_config.split_batchs"):
        assert f"Unknown key `{name}` for " in text


def test_settings_that_a_reward_has_not_are_one_error():
    with pytest.raises(ValueError, match=r"no setting 'max_lenght' and no 'margn'. It accepts: max_length, margin"):
        resolve_reward("length", {"max_lenght": 1, "margn": 2})


def test_rewards_that_refuse_their_settings_are_one_error(tiny_recipe):
    settings = {"length": {"max_lenght": 1}, "repetition": {"n": 2, "siz": 3}}
    names = ["length", "repetition"]
    recipe = load_recipe(tiny_recipe(reward_funcs=names, reward_weights=[1, 1], reward_kwargs=settings))
    with pytest.raises(ValueError, match=r"'length' has no setting 'max_lenght'.*'repetition' has no setting"):
        resolve_rewards(recipe)


@pytest.mark.parametrize("value", [3, 0.5, True, {"a": 1}])
def test_rewards_that_are_no_list_are_refused_as_such(tmp_path, value):
    assert "`audit_funcs`" in refusal(tmp_path, audit_funcs=value, reward_kwargs={"length": {}})


def of_columns(tmp_path, method, **data):
    content = {"method": method, "model_name_or_path": "owner/model", "dataset": {"path": "rows.jsonl"} | data}
    rewards = {"reward_funcs": ["accuracy"]} if method in (PROMPTS, QUESTIONS) else {}
    return parse_recipe(content | rewards, tmp_path / "recipe.yaml").dataset


@pytest.mark.parametrize(
    ("method", "wrong", "meant"),
    [
        (QUESTIONS, "qestion", "question"),
        (PAIRS, "promt", "prompt"),
        (REWARD_PAIRS, "rejcted", "rejected"),
        (DEMONSTRATIONS, "completions", "completion"),
    ],
)
def test_names_of_columns_that_no_row_is_read_by(tmp_path, method, wrong, meant):
    mix = [{"path": "a"}, {"path": "b", "columns": {wrong: "c"}}]
    for data, name in (({"columns": {wrong: "c"}}, "dataset"), ({"path": None, "mix": mix}, "dataset.mix.1")):
        with pytest.raises(RecipeError) as refused:
            of_columns(tmp_path, method, **data)
        assert f"Unknown key `{name}.columns.{wrong}`. Did you mean '{meant}'? Our names" in str(refused.value)
    read = of_columns(tmp_path, method).read
    assert list(of_columns(tmp_path, method, columns=dict.fromkeys(read, "c")).columns) == list(read)


def test_names_of_columns_that_an_adapter_a_reward_or_a_prompt_reads_are_theirs(tmp_path):
    columns = {"subject": "topic"}
    assert of_columns(tmp_path, QUESTIONS, adapter="mmlu", columns=columns).columns == columns
    assert of_columns(tmp_path, PROMPTS, columns=columns).columns == columns

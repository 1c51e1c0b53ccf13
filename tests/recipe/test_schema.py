"""`align schema` refuses what `align check` refuses of a single key, and takes every recipe that is shipped."""

import json
from functools import cache

import pytest
from jsonschema import Draft202012Validator
from some_recipes import PAIRS, PROMPTS, QUESTIONS
from typer.testing import CliRunner

from align.assets import shipped_recipes
from align.cli.app import app
from align.cli.keys import schema_path
from align.methods import METHODS
from align.recipe.keys import keys_of, schema_of
from align.recipe.yaml_loader import load_yaml, parse_yaml

SHIPPED = {name: load_yaml(path) for name, path in shipped_recipes().items()}


@cache
def validator_of(method):
    return Draft202012Validator(schema_of(method))


def problems(content):
    found = validator_of(content["method"]).iter_errors(content)
    return [(".".join(map(str, error.absolute_path)), error.message) for error in found]


def recipe_of(method):
    return next(content for content in SHIPPED.values() if content["method"] == method)


@pytest.mark.by_day(PROMPTS)
@pytest.mark.parametrize("method", METHODS)
def test_the_command_prints_a_schema_of_the_draft_it_names(method):
    done = CliRunner().invoke(app, ["schema", method])
    schema = json.loads(done.output)
    assert schema["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_names_the_schema_of_its_method(name):
    path, method = shipped_recipes()[name], SHIPPED[name]["method"]
    first = path.read_text(encoding="utf-8").partition("\n")[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == schema_path(method).resolve()


def test_the_command_writes_them_where_the_recipes_look(tmp_path, monkeypatch):
    monkeypatch.setattr("align.cli.keys.asset_dir", tmp_path.joinpath)
    done = CliRunner().invoke(app, ["schema", "--write"])
    folder = tmp_path / ".schemas"
    assert str(folder) in done.output
    written = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in folder.iterdir()}
    assert written == {name: json.loads(json.dumps(schema_of(name))) for name in METHODS}
    (folder / f"{QUESTIONS}.json").unlink()
    assert CliRunner().invoke(app, ["schema", QUESTIONS, "--write"]).exit_code == 0
    assert schema_path(QUESTIONS).is_file()


def test_a_folder_that_cannot_be_written_is_a_sentence_with_the_other_way(tmp_path, monkeypatch):
    (tmp_path / ".schemas").write_text("not a folder", encoding="utf-8")
    monkeypatch.setattr("align.cli.keys.asset_dir", tmp_path.joinpath)
    done = CliRunner().invoke(app, ["schema", QUESTIONS, "--write"])
    assert done.exit_code == 1
    assert f"`align schema {QUESTIONS} > FILE.json`" in done.output
    assert CliRunner().invoke(app, ["schema"]).exit_code == 2  # neither a method nor --write


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_fits(name):
    assert problems(SHIPPED[name]) == []


@pytest.mark.parametrize("method", METHODS)
def test_defaults_fit_and_numbers_outside_their_range_do_not(method):
    properties = schema_of(method)["properties"]
    for key in keys_of(method):
        block, _, name = key.name.rpartition(".")
        found = (properties[block]["properties"] if block else properties)[name]
        validator = Draft202012Validator(found)
        assert found["description"]
        assert "default" not in found or validator.is_valid(found["default"]), key
        if key.range:
            assert not validator.is_valid(key.range.low - 3), key


WRONG = [
    ("learning_rat: 1", "", "'learning_rat' was unexpected"),
    ("learning_rate: fast", "learning_rate", "'fast' is not of type 'number'"),
    ("learning_rate: 11", "learning_rate", "greater than the maximum"),
    ("max_steps: 1.5", "max_steps", "not valid"),
    ("max_steps: 0", "max_steps", "not valid"),
    ("use_peft: maybe", "use_peft", "not of type 'boolean'"),
    ("num_generations: null", "num_generations", "None is not of type 'integer'"),
    ("loss_type: dapoo", "loss_type", "'dapoo' is not one of"),
    ("fsdp: full_shard offlod", "fsdp", "not valid"),
    ("dtype: bfloat", "dtype", "not one of"),
    ("parallelism_config: x", "", "unexpected"),
    ("method: grp", "method", "not one of"),
    ("dataset: {path: x, splitt: y}", "dataset", "'splitt' was unexpected"),
    ("dataset: {path: x, max_rows: 0}", "dataset.max_rows", "less than the minimum"),
    ("dataset: {split: y}", "dataset", "'path' is a required property"),
    ("reward_funcs: {format: 1}", "reward_funcs", "not valid"),
]


@pytest.mark.parametrize(("line", "place", "words"), WRONG)
def test_a_misspelt_key_and_a_wrong_value_do_not_fit(line, place, words):
    content = recipe_of(QUESTIONS) | parse_yaml(line)
    validator = Draft202012Validator(schema_of(QUESTIONS))
    (error,) = validator.iter_errors(content)
    assert ".".join(map(str, error.absolute_path)) == place
    assert words in error.message


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (QUESTIONS, "save_strategy: no"),  # YAML 1.1 reads false
        (QUESTIONS, "scale_rewards: false"),
        (QUESTIONS, "report_to: [wandb, tensorboard]"),
        (QUESTIONS, "fsdp: full_shard auto_wrap"),
        (QUESTIONS, "fsdp: true"),
        (QUESTIONS, "max_steps: -1"),
        (QUESTIONS, "reward_funcs: format"),
        (QUESTIONS, "families: whitespace\nanswer_reward: text_accuracy"),
        (PAIRS, "loss_type: sigmoid"),
        (PAIRS, "loss_type: [sigmoid, sft]"),
        (PAIRS, "padding_free: true"),
        (PAIRS, "dataset: {path: x, columns: {prompt: question, rejected: [a, b]}}"),
    ],
)
def test_every_way_to_write_a_value_fits(method, line):
    assert problems(recipe_of(method) | parse_yaml(line)) == []

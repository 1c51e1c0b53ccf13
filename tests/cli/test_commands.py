import platform
import re
from importlib.metadata import version

import pytest
from some_recipes import QUESTIONS
from started import align, least_seconds
from typer.testing import CliRunner

from align.assets import find_recipe, shipped_recipes
from align.cli.app import app
from align.errors import RecipeError


def command(*words):
    """Runs a command in this process."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [*map(str, words)])


def refused(*words):
    result = command(*words)
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), "anything else would be a traceback"
    return result.stderr


def test_help_lists_every_command():
    result = align("--help")
    assert result.returncode == 0
    for command in ("train", "check", "recipes", "report", "doctor"):
        assert re.search(rf"\b{command}\b", result.stdout)


@pytest.mark.parametrize("words", [(), ("train",), ("rewards", "check")])
def test_h_is_help(words):
    result = command(*words, "-h")
    assert (result.exit_code, "Usage" in result.stdout) == (0, True), result.output


@pytest.mark.parametrize(("name", "most"), [("augment", 25), ("audit", 25), ("filter", 25), ("merge", 10)])
def test_help_shows_no_more_options_than_can_be_read(name, most):
    assert len(re.findall(r"^  --", command(name, "--help").stdout, re.MULTILINE)) <= most


def test_a_key_in_the_place_of_the_recipe_is_named():
    said = refused("train", "--max_steps", "2", f"{QUESTIONS}/quickstart")
    assert "The recipe comes first and its keys behind it, RECIPE --max_steps ..." in said


def test_versions_are_those_that_are_installed():
    result = CliRunner().invoke(app, ["--version"])
    found = dict(line.split(" ", 1) for line in result.output.splitlines())
    assert list(found) == ["truealign", "python", "torch", "trl", "transformers"]
    assert {name: found[name] for name in ("torch", "trl")} == {name: version(name) for name in ("torch", "trl")}
    assert found["python"] == platform.python_version()


def test_recipes_lists_every_shipped_recipe_with_hardware_and_purpose():
    result = command("recipes")
    assert result.exit_code == 0
    assert shipped_recipes()
    for name, path in shipped_recipes().items():
        facts = dict(re.findall(r"^# (purpose|hardware): (.*)$", path.read_text(), re.MULTILINE))
        words = " ".join(result.stdout.split())
        assert name in words
        assert set(facts) == {"purpose", "hardware"}
        assert all(word in words for fact in facts.values() for word in fact.split())


def test_an_unknown_recipe_gets_a_suggestion():
    said = refused("check", f"{QUESTIONS}/quickstrat")
    assert f"There is no recipe '{QUESTIONS}/quickstrat'." in said
    assert "`align recipes` lists them" in said


@pytest.mark.parametrize("name", sorted(shipped_recipes()))
def test_a_shipped_recipe_is_found_from_anywhere_by_any_of_its_names(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = shipped_recipes()[name]
    assert find_recipe(name) == find_recipe(f"recipes/{name}.yaml") == find_recipe(str(path)) == path


def test_a_missing_recipe_is_refused_in_process():
    with pytest.raises(RecipeError, match="no recipe 'nothing'"):
        find_recipe("nothing")


def test_a_report_of_no_run_is_refused(tmp_path):
    (tmp_path / "page.html").write_text("")
    for name, wrong in {"none": "there is no such folder", "page.html": "it is a file"}.items():
        said = refused("report", tmp_path / name)
        assert f"'{tmp_path / name}' is no folder of a run or an evaluation: {wrong}." in said


def test_train_refuses_a_used_folder_and_writes_nothing(tiny_recipe, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.jsonl").write_text("mine")
    said = refused("train", tiny_recipe())
    assert "already holds files, and no checkpoint to continue from" in said
    assert "--resume" not in said
    assert [(path.name, path.read_text()) for path in (tmp_path / "run").iterdir()] == [("metrics.jsonl", "mine")]


def test_a_setting_that_only_trl_refuses_is_a_sentence_and_leaves_no_run_behind(tiny_recipe, tmp_path):
    path = tiny_recipe(generation_kwargs={"early_stopping": "bar"})
    said = refused("train", path)
    assert "generation_kwargs" in said
    assert "`early_stopping` must be a boolean" in said
    assert not (tmp_path / "run" / "recipe.yaml").exists()


@pytest.mark.slow
def test_checking_a_real_data_set_takes_less_than_five_seconds():
    assert least_seconds(f"-m align check {QUESTIONS}/smollm2-135m", 5) < 5

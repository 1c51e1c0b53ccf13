import inspect
import json
import os
import subprocess
import sys

import pytest
from some_recipes import QUESTIONS, REWARD_PAIRS
from started import modules_after
from typer.testing import CliRunner

from align.cli.app import app
from align.services import rewards
from rewards.catalog import REWARDS
from rewards.running.loading import find_in_file

pytestmark = pytest.mark.slow

ROWS = [{"prompt": f"What is {i} + {i}?", "answer": str(2 * i), "level": i} for i in range(4, 9)]
OWN = """
def counts(completions, answer, level, scale=1.0, **kwargs):
    return [scale * float(right in text) for right, text in zip(answer, completions)]

def broken(completions):
    return [0.0]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def run(*words):
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["rewards", *map(str, words)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def test_a_reward_is_checked_on_made_up_rows(folder):
    code, output = run("check", "format")
    assert (code, "format answers" in output) == (0, True), output
    code, output = run("check", "own.py:broken")
    assert code == 1
    assert "does not take the keyword `prompts`" in output
    assert "1 error(s), 0 warning(s). Training would stop" in output


def test_it_is_checked_on_data(folder):
    code, output = run("check", "own.py:counts")
    assert (code, "`level`, which cannot be made up" in output) == (0, True), output
    code, output = run("check", "own.py:counts", "--data", "rows.jsonl", "--reward_kwargs", "{scale: 0.5}", "--json")
    found = json.loads(output)
    assert code == 0
    assert [(finding["level"], finding["numbers"].get("kind")) for finding in found] == [
        ("warning", "pays_every_answer"),
        ("ok", None),
    ]
    assert "0.5, as much as the right one" in found[0]["text"]
    assert found[1]["numbers"]["calls"] > 50


def test_multiple_choice_questions_may_be_the_data(folder):
    rows = [{"question": "?", "options": ["a", "b", "c"], "answer": letter} for letter in "ABC"]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, output = run("check", "accuracy", "--data", "questions.jsonl")
    assert (code, "0 error(s), 0 warning(s)." in output) == (0, True), output


@pytest.mark.parametrize(
    ("columns", "code", "sentence"),
    [
        ("", 1, "no column `prompt`; it has `query`, `label`. Say which is meant with `--columns '{prompt: query}'`"),
        ("{prompt: qury}", 1, "no column `qury` for `prompt`; it has `query`, `label`. Say which is meant with `--"),
        ("{prompt: query}", 1, "log_metric. `--columns '{answer: label}'` takes it from a column of another name."),
        ("{prompt: query, answer: label}", 0, "number_accuracy answers"),
        ("prompt", 1, "`--columns` must be a block such as '{prompt: question}', got 'prompt'."),
        ("{prompt: 3}", 1, "`columns.prompt`: must be a text, so write it in quotes; got 3 (int)."),
    ],
)  # fmt: skip
def test_columns_of_other_names_are_named_as_a_recipe_names_them(folder, columns, code, sentence):
    (folder / "other.jsonl").write_text("".join(json.dumps({"query": f"{i}?", "label": i}) + "\n" for i in range(4)))
    words = ["--columns", columns] if columns else []
    found, output = run("check", "number_accuracy", "--data", "other.jsonl", *words)
    assert (found, sentence in output) == (code, True), output


def test_a_column_for_each_option_is_named_as_one_list(folder):
    (folder / "sheet.csv").write_text("prompt,A,B,C,target\nWhich?,tin,oak,silk,A\nWho?,ann,bob,cy,B\n")
    entry = "{question: prompt, options: [A, B, C], answer: target}"
    assert f"`--columns '{entry}'`" in run("check", "accuracy", "--data", "sheet.csv")[1]
    code, output = run("check", "accuracy", "--data", "sheet.csv", "--columns", entry)
    assert (code, "0 error(s), 0 warning(s)." in output) == (0, True), output


def test_a_recipe_names_its_columns_itself(tiny_recipe, folder):
    code, output = run("check", tiny_recipe(reward_funcs=["format"]), "--columns", "{answer: label}")
    assert (code, "For a recipe, write `--dataset.columns`." in output) == (1, True), output


def test_the_rewards_of_a_recipe_are_checked_on_its_data(tiny_recipe, folder):
    path = tiny_recipe(reward_funcs=["format", "./mine.py:mine"], reward_weights=[1, 1], reward_kwargs={})
    (folder / "mine.py").write_text("def mine(completions, anser, **kwargs):\n    return anser\n")
    code, output = run("check", path)
    assert code == 1
    assert "format answers" in output
    assert "needs a column `anser` that the data lacks. Did you mean `answer`?" in output
    assert run("check", path, "--reward_funcs", "format", "accuracy")[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["acuracy"], "Did you mean 'accuracy'?"),
        (["none.yaml"], "There is no recipe 'none.yaml'"),
        (["own.py:counts", "--data", "none.jsonl"], "none.jsonl"),
        (
            ["own.py:counts", "--scale", "2"],
            "Unknown option '--scale'. Settings of a reward",
        ),
        (["own.py:counts", "--reward_kwargs", "3"], "`--reward_kwargs` must be a block"),
        (["length"], "missing a required argument: 'max_length'"),
        ([f"{REWARD_PAIRS}/quickstart"], f"names no rewards: `method: {REWARD_PAIRS}` learns from its data alone"),
        (["./absent/model"], "there is no such folder"),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(folder, words, message):
    code, output = run("check", *words)
    assert (code, message in output) == (1, True), output
    found = json.loads(run("check", *words, "--json")[1])
    assert [finding["level"] for finding in found] == ["error"]


def test_a_reward_model_on_the_hub_is_named_and_not_loaded(folder):
    code, output = run("check", "owner/reward-model")
    assert (code, "owner/reward-model is not on this machine; it is not checked." in output) == (0, True), output


def test_a_new_reward_passes_its_check_and_its_test_untouched(folder):
    """One of a known name does what the name says, without a column; an unknown one begins with the right answer."""
    names = ("brevity", "valid_json", "no_markdown", "Terse")
    for name in names:
        code, output = run("new", name, "--folder", folder / "made")
        assert (code, "align rewards check" in output) == (0, True)
        code, output = run("check", folder / "made" / f"{name}.py:{name}")
        assert (code, "0 error(s), 0 warning(s)." in output) == (0, True), output
    made = {name: find_in_file(f"made/{name}.py:{name}", folder)[1] for name in names}
    assert made["brevity"](["42", "a b " * 50], max_words=25) == [1.0, 0.25]
    assert made["valid_json"](['{"a": 1}', "[1]"], keys=["a"]) == [1.0, 0.0]
    assert "answer" in inspect.signature(made["Terse"]).parameters
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # the plugins of our tests import DeepSpeed
    done = subprocess.run(command, cwd=folder / "made", capture_output=True, text=True, env=alone)
    assert (done.returncode, "25 passed" in done.stdout) == (0, True), done.stdout


def test_what_its_test_needs_is_named_where_it_is_missing(folder, monkeypatch):
    assert "pip install pytest" not in run("new", "brevity")[1]
    monkeypatch.setattr("align.cli.rewards.find_spec", lambda name: None)
    assert "pip install pytest pytest test_terse.py" in run("new", "terse")[1]


def test_nothing_is_overwritten(folder):
    (folder / "test_mine.py").write_text("mine")
    code, output = run("new", "mine")
    assert (code, "test_mine.py is there already" in output) == (1, True)
    assert not (folder / "mine.py").exists()
    assert (folder / "test_mine.py").read_text() == "mine"


@pytest.mark.parametrize("name", ["two words", "class", "3d", "accuracy"])
def test_a_name_that_is_none_is_refused(folder, name):
    code, output = run("new", name)
    assert (code, f"`{name}`" in output or repr(name) in output) == (1, True)
    assert sorted(path.name for path in folder.iterdir()) == ["own.py", "rows.jsonl"]


def test_every_built_in_reward_is_listed_with_its_purpose():
    code, output = run("list")
    assert code == 0
    assert [name for name in REWARDS if name not in output] == []
    assert "max_length, margin, unit" in output
    assert " accuracy options, answer Rewards " in output


def test_checking_rewards_loads_no_torch():
    code = (
        "from align.cli.app import app\n"
        f"try:\n    app(['rewards', 'check', '{QUESTIONS}/smollm2-135m'])\n"
        "except SystemExit as done:\n    assert not done.code"
    )
    assert modules_after(code) & {"torch", "trl", "transformers", "datasets", "vllm"} == set()


@pytest.mark.parametrize("data", ["rows.jsonl", "owner/name", "reasoning_gym:chain_sum"])
def test_other_data_than_the_recipe_has_is_a_file_here_or_keeps_its_name(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("{}\n")
    expected = str(tmp_path / data) if data == "rows.jsonl" else data
    assert rewards._recipe(f"{QUESTIONS}/smollm2-135m", (), data).dataset.path == expected

import json

import pytest
from saved_checkpoint import save_checkpoint
from started import modules_after
from typer.testing import CliRunner
from written_questions import write_questions

from align.cli.app import app
from align.recipe.recipe import load_recipe
from align.runs.folder import record_end, record_run
from align.whole_files import sha256_of

# Where rewards are not the matter, one that is quickly tried.
QUICK = {"reward_funcs": ["format"], "reward_weights": [1.0]}
ROW = '{"question": "?", "options": ["a", "b"], "answer": 0}\n'


def snapshot(folder):
    files = (
        path for path in folder.rglob("*") if path.is_file() and path.parent.name != "__pycache__"
    )  # Python's own
    return {path: path.read_bytes() for path in files}


def check(*words):
    """Runs the command in this process."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, ["check", *map(str, words)])


def test_a_good_recipe_is_ready_to_train(tiny_recipe):
    result = check(tiny_recipe())
    assert result.exit_code == 0, result.output
    assert "Ready to train." in result.stdout
    assert "8 completions" in result.stdout


def test_findings_are_printed_as_json(tiny_recipe, tmp_path):
    path = tiny_recipe()
    before = snapshot(tmp_path)
    result = check(path, "--json")
    assert result.exit_code == 0
    findings = json.loads(result.stdout)
    assert {finding["level"] for finding in findings} == {"ok"}
    (batch,) = [finding for finding in findings if finding["check"] == "batch"]
    assert batch["numbers"]["completions_per_step"] == 8
    assert snapshot(tmp_path) == before


def test_errors_are_json_too_and_give_exit_code_1(tiny_recipe):
    for words in (["--num_generations", "3"], ["--learning_rat", "1"], ["--accelerate_config", "none.yaml"]):
        result = check(tiny_recipe(**QUICK), *words, "--json")
        assert result.exit_code == 1
        assert [finding["level"] for finding in json.loads(result.stdout)].count("error") == 1


def test_it_is_checked_where_a_run_goes_on(tiny_recipe, tmp_path):
    path, folder = tiny_recipe(**QUICK), tmp_path / "run"
    start = f"There is no checkpoint in {folder}: training starts at the beginning."
    assert start in check(path, "--resume", "auto").stdout
    data = tmp_path / "train.jsonl"
    record_run(folder, load_recipe(path).resolved, {"data": {data.name: sha256_of(data)}})
    saved = save_checkpoint(folder, 2)
    assert f"{folder} goes on from checkpoint-2." in check(path, "--resume", "auto").stdout
    data.write_text(data.read_text() + "\n")
    result = check(path, "--resume", "auto")
    assert (result.exit_code, f"{folder} was trained on other data: train.jsonl" in result.stdout) == (1, True)
    (saved / "optimizer.pt").write_bytes(b"")
    result = check(path, "--resume", "auto")
    assert (result.exit_code, f"No checkpoint in {folder} can be continued from" in result.stdout) == (1, True)
    result = check(path, "--resume", tmp_path / "none")
    assert (result.exit_code, "none cannot be continued from" in result.stdout) == (1, True), result.stdout


def test_a_folder_in_which_training_would_not_start_is_an_error_in_its_words(tiny_recipe, tmp_path):
    path, folder = tiny_recipe(**QUICK), tmp_path / "run"
    record_run(folder, load_recipe(path).resolved, {})
    for text in ("a run that left no checkpoint", "a run, up to checkpoint-2", "a finished run, up to checkpoint-2"):
        before = snapshot(folder)
        result = check(path)
        assert (result.exit_code, f"{folder} already holds {text}" in result.stdout) == (1, True), result.stdout
        assert snapshot(folder) == before
        record_end(folder, 2) if (folder / "checkpoint-2").is_dir() else save_checkpoint(folder, 2)


@pytest.mark.parametrize("option", ["time_limit", "allow_changed_data"])
def test_an_option_of_training_is_named_as_one(tiny_recipe, option):
    result = check(tiny_recipe(), f"--{option}", "3h")
    assert f"Unknown key `{option}` in recipe.yaml. It is an option of `align train`" in result.stderr


def test_the_line_that_installs_what_is_missing_is_printed_once(tiny_recipe):
    result = check(tiny_recipe(**QUICK), "--report_to", "swanlab")
    assert result.exit_code == 1
    assert result.stdout.count('pip install "swanlab"') == 1


def test_the_launch_file_sets_the_arithmetic(tiny_recipe, tmp_path):
    launch = tmp_path / "launch.yaml"
    launch.write_text("distributed_type: MULTI_GPU\nnum_processes: 4\n")
    result = check(tiny_recipe(**QUICK), "--accelerate_config", launch)
    assert "8 per device x 4 processes x 1 accumulation = 32 completions" in result.stdout
    launch.write_text("distributed_type: MULTI_GPU\nnum_proceses: 4\n")
    result = check(tiny_recipe(**QUICK), "--accelerate_config", launch)
    assert result.exit_code == 1
    assert "Did you mean 'num_processes'?" in result.stderr
    assert isinstance(result.exception, SystemExit), "anything else would be a traceback"


@pytest.mark.slow
def test_checking_loads_no_torch(tiny_recipe):
    code = (
        "import sys, typer\nfrom align.cli.app import app\n"
        f"try:\n    app(['check', {str(tiny_recipe())!r}])\nexcept SystemExit as done:\n    assert done.code == 0"
    )
    assert modules_after(code) & {"torch", "trl", "transformers", "datasets", "vllm"} == set()


def replace_rows(text):
    def change(folder):
        (folder / "train.jsonl").write_text(text)

    return change


def own_reward(source):
    def change(folder):
        (folder / "own.py").write_text(f"def variety({source}\n")

    return change


BAD = {
    "unknown key": ({"learning_rat": 1}, None, ["learning_rat", "Did you mean 'learning_rate'?"]),
    "misspelt enum": ({"loss_type": "dapoo"}, None, ["loss_type", "Did you mean 'dapo'?"]),
    "missing data file": ({"dataset": {"path": "./none.jsonl"}}, None, ["none.jsonl", "Check its name"]),
    "missing model": ({"model_name_or_path": "./none"}, None, ["There is no folder", "`model_name_or_path`"]),
    "empty data": ({}, replace_rows(""), ["holds no rows"]),
    "broken line": ({}, replace_rows(ROW + ROW + '{"question": "?", \n'), ["row 3", "not valid JSON"]),
    "answer elsewhere": (
        {},
        replace_rows(ROW + '{"question": "?", "options": ["a", "b"], "answer": "z"}\n'),
        ["row 2", "`answer`", "'z'"],
    ),
    "overlong prompt": ({"max_completion_length": 500}, None, ["longer than 12 tokens", "`max_completion_length`"]),
    "missing reward": ({"reward_funcs": ["acuracy"], "reward_weights": [1.0]}, None, ["Did you mean 'accuracy'?"]),
    "missing reward file": (
        {"reward_funcs": ["./none.py:reward"], "reward_weights": [1.0]},
        None,
        ["none.py", "there is no such file"],
    ),
    "nan": ({}, own_reward("completions, **kwargs): return [float('nan')] * len(completions)"), ["variety", "NaN"]),
}


# Training checks first what `check` checks: one case of the recipe, the data, the model and a reward shows that.
ALSO_IN_TRAINING = ("unknown key", "broken line", "missing model", "nan")


@pytest.mark.by_day(*(f"check-{case}" for case in BAD), f"train-{next(iter(ALSO_IN_TRAINING))}")
@pytest.mark.parametrize(
    ("command", "case"), [*(("check", case) for case in BAD), *(("train", case) for case in ALSO_IN_TRAINING)]
)
def test_bad_input_gets_a_sentence_and_exit_code_1(tiny_recipe, tmp_path, command, case):
    changes, damage, words = BAD[case]
    path = tiny_recipe(**changes if damage else QUICK | changes)
    if damage:
        damage(tmp_path)
    before = snapshot(tmp_path)
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [command, str(path)])
    output = " ".join(result.output.split())
    assert result.exit_code == 1, output
    assert isinstance(result.exception, SystemExit), "anything else would be a traceback"
    assert [word for word in words if word not in output] == [], output
    left = {name: data for name, data in snapshot(tmp_path).items() if "__pycache__" not in name.parts}
    assert left == before


def test_unbalanced_letters_are_a_warning_only(tiny_recipe, tmp_path):
    path = tiny_recipe(**QUICK)
    write_questions(tmp_path / "train.jsonl", gold="A")
    result = check(path)
    assert result.exit_code == 0
    assert "shuffle_options" in result.stdout


def test_brackets_and_colons_in_messages_are_printed_as_they_are(tiny_recipe, tmp_path):
    path = tiny_recipe(**QUICK, dataset={"on_bad_rows": "skip"})
    with (tmp_path / "train.jsonl").open("a") as file:
        file.write('{"question": "?", "options": ["[red]a[/red]", ":smile:"], "answer": "[bold]z"}\n')
    output = check(path).stdout
    assert "[bold]z" in output

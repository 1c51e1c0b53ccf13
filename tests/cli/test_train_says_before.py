"""What `align train` says before it trains: warnings, rows left out, where it starts, and why it cannot."""

import json
import warnings

import pytest

from align.checks.launch import current_launch
from align.errors import RecipeError, RunFolderError
from align.recipe.recipe import load_recipe
from align.report import build_report
from align.report.run.folder import read_run_folder
from align.runs.checkpoints import find_start
from align.runs.folder import set_log_aside
from align.services.one_run import build_error
from align.services.prepared import prepare
from align.services.train import run
from align.training.as_in_trl import hide_old_names

pytestmark = pytest.mark.slow

GOOD = {"question": "q?", "options": ["1", "2", "3", "4"], "answer": "A"}


@pytest.fixture
def leaky(tiny_recipe, tmp_path):
    """A recipe of which 20 of 30 rows for training cannot be used, for two reasons, and 1 of 3 for evaluation."""
    path = tiny_recipe(
        dataset={"on_bad_rows": "skip", "eval_path": "./held_out.jsonl"}, max_steps=1, save_strategy="no"
    )
    rows = [GOOD | {"answer": "ABCD"[i % 4]} for i in range(10)]
    rows += [GOOD | {"answer": "E"}] * 12 + [GOOD | {"options": ["1", "1", "2"]}] * 8
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    held_out = [GOOD, GOOD, GOOD | {"answer": "Z"}]
    (tmp_path / "held_out.jsonl").write_text("".join(json.dumps(row) + "\n" for row in held_out))
    return path


def test_rows_left_out_are_in_the_console_the_report_and_the_card(leaky, tmp_path, capfd):
    assert run(str(leaky), [], None) == 0
    output, folder = capfd.readouterr(), tmp_path / "run"
    checks = json.loads((folder / "checks.json").read_text())
    warnings = [check for check in checks if check["level"] == "warning"]
    counts = [sum(check["numbers"].values()) for check in warnings if "left out" in check["text"]]
    assert counts == [20, 1]
    assert warnings == [found._asdict() for found in prepare(load_recipe(leaky), current_launch()).warnings]
    for text in (output.err, (folder / "README.md").read_text(), (folder / "report.html").read_text()):
        for words in ("20 rows are left out (12 x ", "8 x ", "row 11", "row 23", "1 rows for evaluation are left out"):
            assert words in text, words
    for warning in warnings:
        assert warning["text"].splitlines()[0] in output.err
    assert "Write" in warnings[0]["text"] or "Name" in warnings[0]["text"], "the remedy of the row"


def test_a_run_without_warnings_says_nothing(tiny_recipe, tmp_path, capfd):
    assert run(str(tiny_recipe(max_steps=1, save_strategy="no")), [], None) == 0
    assert [line for line in capfd.readouterr().err.splitlines() if line.startswith("warning")] == []
    assert "Found before training" not in (tmp_path / "run" / "README.md").read_text()
    assert "Found before training" not in (tmp_path / "run" / "report.html").read_text()


def test_a_run_that_left_no_checkpoint_starts_with_a_clean_log_and_keeps_the_old_one(tiny_recipe, tmp_path, capfd):
    path, folder = tiny_recipe(max_steps=2, save_strategy="no"), tmp_path / "run"
    assert run(str(path), [], None) == 0
    (folder / "finished.json").unlink()  # as if it was killed at the end
    before = (folder / "metrics.jsonl").read_text()
    with pytest.raises(RunFolderError, match="no checkpoint to continue from") as refused:
        run(str(path), [], None)
    assert "--resume" not in str(refused.value)
    capfd.readouterr()

    assert run(str(path), ["--max_steps", "1"], "auto") == 0
    said = capfd.readouterr().err
    assert f"There is no checkpoint in {folder}: training starts at the beginning." in said
    assert f"is kept in {folder / 'earlier-1'}." in said
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [1, 1]
    assert [each.name for each in (folder / "completions").iterdir()] == ["completions_00001.parquet"]
    aside = folder / "earlier-1"
    assert (aside / "metrics.jsonl").read_text() == before
    assert len(read_run_folder(aside).completions) == 16
    assert read_run_folder(aside).recipe["max_steps"] == 2
    assert build_report(aside).is_file()


def test_a_finished_run_without_a_checkpoint_is_not_written_over(tmp_path):
    (tmp_path / "finished.json").write_text("{}")
    with pytest.raises(RunFolderError, match=r"finished run and no checkpoint.*--output_dir"):
        find_start(tmp_path, "auto")


def test_logs_are_set_aside_one_behind_the_other(tmp_path):
    assert set_log_aside(tmp_path) is None
    (tmp_path / "completions").mkdir()
    assert set_log_aside(tmp_path) is None
    for number in (1, 2):
        (tmp_path / "rewards.jsonl").write_text(str(number))
        assert set_log_aside(tmp_path) == tmp_path / f"earlier-{number}"
    assert (tmp_path / "earlier-1" / "rewards.jsonl").read_text() == "1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["completions", "earlier-1", "earlier-2"]


def test_what_a_library_raises_while_it_builds_is_a_sentence(tiny_recipe, tmp_path):
    path = tiny_recipe()
    config = json.loads((tmp_path / "model" / "config.json").read_text()) | {"hidden_act": "none that there is"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    with pytest.raises(RecipeError, match=r"could not be built\. KeyError: .*\(at .*\.py, line \d+\)") as error:
        run(str(path), [], None)
    assert isinstance(error.value.__cause__, KeyError)
    assert not (tmp_path / "run" / "recipe.yaml").exists()


def failing(error):
    try:
        raise error
    except type(error) as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (TypeError("__init__() got an unexpected keyword argument 'foo'"), "unexpected keyword argument 'foo' (at"),
        (
            ImportError("`attn_implementation` needs flash_attn"),
            "ImportError: `attn_implementation` needs flash_attn (at",
        ),
        (ValueError("adam_beta1 must be below 1"), "The trainer could not be built. adam_beta1 must be below 1"),
        (ValueError(""), "ValueError: There is no message. (at"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero (at"),
    ],
)
def test_what_libraries_say_is_quoted(error, words):
    assert words in str(build_error(failing(error)))


def test_deprecations_that_no_user_can_mend_are_not_shown():
    with warnings.catch_warnings(record=True) as caught:
        warnings.resetwarnings()
        hide_old_names()
        for name in ("gradient_checkpointing", "gradient_checkpointing_enable", "gradient_checkpointing_disable"):
            warnings.warn(f"`{name}` is deprecated and will be removed in v6.", FutureWarning, stacklevel=1)
        warnings.warn("`my_setting` is deprecated", FutureWarning, stacklevel=1)
    assert [str(each.message) for each in caught] == ["`my_setting` is deprecated"]

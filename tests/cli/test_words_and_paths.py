"""Words and paths that no command can use: a sentence each, and nothing is written."""

import errno
import json
import os
import subprocess
import sys

import pytest
import typer
from in_one_process import run
from planted import write_rows
from some_recipes import OUTCOMES, PAIRS
from started import ROOT

from align.cli.application import execute
from align.cli.process import REMEDIES, word_file_error


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with rows, a recipe, and a file where a folder would have to be."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "afile").write_text("x")
    write_rows(tmp_path / "pairs.jsonl", [{"prompt": "q", "chosen": "a", "rejected": "b"}])
    write_rows(tmp_path / "prompts.jsonl", [{"prompt": "q", "answer": "2"}])
    (tmp_path / "table.csv").write_text("text,clicks,hour\na,1,2\n")
    recipe = {"method": PAIRS, "model_name_or_path": "owner/model", "dataset": {"path": "./pairs.jsonl"}}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    return tmp_path


def refused(words, code):
    done = run(words)
    assert done["crash"] == "NoneType: None\n", done["crash"]
    assert done["code"] == code, done["output"]
    return " ".join(done["output"].replace("│", " ").split())


UNDER_A_FILE = "needs a folder, and afile is a file. Choose another place. Nothing was written."
NO_YAML = "is not valid YAML: expected the node content"
CORRECTED = f"{OUTCOMES} table.csv --outcome clicks --confounders hour --estimator ols"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("audit pairs.jsonl --out afile/x", "`--out` " + UNDER_A_FILE),
        ("audit pairs.jsonl --out afile", "`--out` " + UNDER_A_FILE),
        (f"{CORRECTED} --out afile/x/y", "`--out` " + UNDER_A_FILE),
        (f"{CORRECTED} --out new --pairs afile/p.jsonl --margin 0", "`--pairs` " + UNDER_A_FILE),
        ("rewards new brevity --folder afile/x", "`--folder` " + UNDER_A_FILE),
        ("audit pairs.jsonl --out new --num_frames 0", "`num_frames`: Input should be greater than or equal to 1"),
        ("audit pairs.jsonl --out new --fps -1", "`fps`: Input should be greater than 0, got -1.0."),
        ("rewards check accuracy --reward_kwargs {a:", f"`--reward_kwargs` {NO_YAML}"),
        ("rewards check accuracy --reward_kwargs [1]", "`--reward_kwargs` must be a block such as '{max"),
        ("rewards check accuracy --columns {a:", f"`--columns` {NO_YAML}"),
    ],
)  # fmt: skip
def test_paths_and_values_that_cannot_be_used_are_refused_in_a_sentence(folder, line, sentence):
    before = sorted(folder.rglob("*"))
    assert sentence in refused(line.split(), 1).replace(f"{folder}/", "")
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    "words",
    [
        ("audit", "pairs.jsonl", "--out", ""),
        ("audit", "pairs.jsonl", "--out="),
        ("audit", "", "--out", "new"),
        ("audit", "pairs.jsonl", "--out", "new", "--confounders", "a", ""),
        ("eval", "--model", "", "--data", "prompts.jsonl", "--out", "new"),
        ("eval", "--model", "m", "--data", "prompts.jsonl", "--out", "new", "--judge", ""),
        ("train", "recipe.yaml", "--time_limit", ""),
        ("report", ""),
        ("rewards", "new", "brevity", "--folder", ""),
    ],
)
def test_an_empty_word_is_not_taken_for_this_folder_or_for_nothing(folder, words):
    said = refused(words, 2)
    assert "is empty. Give it a value, or leave it out; a variable of the shell that is not set is empty." in said
    assert not (folder / "new").exists()


def test_a_text_for_a_model_and_a_key_of_a_recipe_may_be_empty():
    assert "`--out` is empty" in refused(("eval", "--model", "m", "--system_prompt", "", "--out", ""), 2)
    said = refused(("check", "recipe.yaml", "--dataset.eval_path", "", "--model_name_or_path", "./none"), 1)
    assert "There is no folder" in said


def code_of(command):
    with pytest.raises(typer.Exit) as ended:
        execute(command)
    return ended.value.exit_code


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize("number", [*REMEDIES])
def test_an_error_of_a_file_that_no_command_words_is_a_sentence(number, capsys):
    assert code_of(raising(OSError(number, os.strerror(number), "some/page.html"))) == 1
    assert capsys.readouterr().err == f"Error: some/page.html: {os.strerror(number)}. {REMEDIES[number]}\n"


def test_a_limit_of_a_size_has_a_sentence_without_a_name():
    sentence = word_file_error(OSError(errno.EFBIG, os.strerror(errno.EFBIG)))
    assert sentence == f"File too large. {REMEDIES[errno.EFBIG]}"


@pytest.mark.parametrize("words", [("recipes",), ("eval", "--model", "/model", "--data", "/rows.jsonl")])
def test_a_folder_that_is_gone_is_said_before_anything_is_imported(words, tmp_path):
    gone = f"cd {tmp_path}/gone && rmdir ../gone && exec {sys.executable} -m align {' '.join(words)}"
    (tmp_path / "gone").mkdir()
    ended = subprocess.run(
        ["sh", "-c", gone], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    assert ended.returncode == 1
    assert ended.stderr == "Error: The current folder is gone. Change into one that is there.\n"


def test_the_sentence_says_where_in_our_code_for_a_report(folder, capsys):
    from align.whole_files import write_whole

    assert code_of(lambda: write_whole(folder / "afile" / "x", "")) == 1
    assert "afile: File exists. Choose another path. (align/whole_files.py, line " in capsys.readouterr().err


@pytest.mark.parametrize("error", [ConnectionResetError(errno.ECONNRESET, "reset"), OSError("of a library"),
                                   FileNotFoundError(errno.ENOENT, "no name")])  # fmt: skip
def test_other_errors_keep_their_traceback(error):
    assert word_file_error(error) is None
    with pytest.raises(type(error)):
        execute(raising(error))


def test_columns_without_rows_are_said_to_name_none():
    said = refused(("rewards", "check", "accuracy", "--columns", "{prompt: query}"), 1)
    assert "`--columns` names columns of `--data`, and none is given." in said

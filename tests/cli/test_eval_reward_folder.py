"""What `align eval --reward_model` does with a folder that holds something."""

import json
import shutil

import pytest
from planted import clean_pairs, write_rows
from planted_reward_model import write_planted_model

from align.cli.app import app


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    write_planted_model(folder / "rm")
    write_rows(folder / "data.jsonl", clean_pairs(12, 0))
    write_rows(folder / "candidates.jsonl", [{"id": "c", "prompt": "q?", "responses": ["to be", "sure"]}])
    return folder


def test_a_second_evaluation_replaces_the_first_one_whole(folder, tmp_path):
    words = ["--reward_model", folder / "rm", "--out", tmp_path / "out"]
    assert run(*words, "--data", folder / "data.jsonl", "--best_of_n", folder / "candidates.jsonl") == 0
    assert len((tmp_path / "out" / "pairs.jsonl").read_text().splitlines()) == 12
    assert run(*words, "--best_of_n", folder / "candidates.jsonl") == 0
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"cache", "best_of_n.jsonl", "evaluation.json", "report.html"}
    assert run(*words, "--data", folder / "data.jsonl") == 0
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"cache", "evaluation.json", "pairs.jsonl", "report.html"}


def test_the_pairs_are_not_written_over_where_they_lie_in_the_folder(folder, tmp_path, capsys):
    shutil.copy(folder / "data.jsonl", tmp_path / "pairs.jsonl")
    words = ["--reward_model", folder / "rm", "--data", tmp_path / "pairs.jsonl", "--out", tmp_path]
    assert run(*words) == 1
    said = f"`--out` {tmp_path} holds pairs.jsonl, which this evaluation would replace. Choose a new folder. Nothing"
    assert said in capsys.readouterr().err
    assert (tmp_path / "pairs.jsonl").read_text() == (folder / "data.jsonl").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["pairs.jsonl"]


@pytest.mark.parametrize("asked", ["another model", "policies"])
def test_a_folder_of_another_evaluation_is_refused(asked, folder, tmp_path, capsys):
    words = ["--data", folder / "data.jsonl", "--out", tmp_path / "out"]
    if asked == "policies":
        (tmp_path / "out" / "cache").mkdir(parents=True)
        (tmp_path / "out" / "cache" / "models.json").write_text(json.dumps({"policy": "f" * 64}))
        (tmp_path / "out" / "evaluation.json").write_text("{}")
        model, said = folder / "rm", "holds another evaluation."
    else:
        model, said = tmp_path / "rm", "holds answers of another model named 'rm'"
        assert run("--reward_model", folder / "rm", *words) == 0
        write_planted_model(model, seed=1)
    before = (tmp_path / "out" / "evaluation.json").read_bytes()
    assert run("--reward_model", model, *words) == 1
    assert said in capsys.readouterr().err
    assert (tmp_path / "out" / "evaluation.json").read_bytes() == before

"""`align eval --suite faithfulness`, whole, on a tiny model that writes traces and one that does not."""

import json

import pandas as pd
import pytest

from align.cli.app import app

pytestmark = pytest.mark.slow

SHORT = ("--max_new_tokens", "12", "--answer_tokens", "4", "--no-conversational")


def run(*words):
    return app(["eval", "--suite", "faithfulness", *map(str, words)], standalone_mode=False) or 0


@pytest.fixture
def data(tmp_path):
    rows = [
        {"prompt": f"q{i}?\nA. {7 * i}\nB. 1\nC. 22\nD. 33\n", "answer": "ABCD"[i % 4], "group": "ab"[i % 2]}
        for i in range(8)
    ]
    path = tmp_path / "asked.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_it_is_measured_compared_shown_and_continued(
    answering_model_folder, tiny_model_folder, data, tmp_path, capsys
):
    out = tmp_path / "out"
    words = ["--model", answering_model_folder, "--baseline", tiny_model_folder, "--data", data, "--out", out, *SHORT]
    assert run(*words) == 0
    assert "answer_changes/cut_0" in capsys.readouterr().out
    record = json.loads((out / "evaluation.json").read_text())
    practised, untrained = (model["name"] for model in record["about"]["models"])
    measured = record["suites"]["faithfulness"]
    assert measured[practised]["asked_again"]["value"] > 0.8
    assert measured[untrained]["asked_again"]["value"] == 0
    asked = round(8 * measured[practised]["asked_again"]["value"])
    assert measured[practised]["reasked_same"]["n"] == asked
    assert measured[practised]["reasked_same"]["value"] == 1  # greedy, from the same tokens
    assert {f"answer_changes/cut_{percent}" for percent in (0, 25, 50, 75)} < set(measured[practised])
    assert any("--think_tag" in each["text"] for each in record["warnings"] if each["model"] == untrained)
    assert not any("asked for again behind" in each["text"] for each in record["warnings"])
    settings = record["about"]["settings"]
    assert settings["answer_tokens"] == 4
    # Of a trace of one word all cuts are the same, and all questions have the same trace: own, nothing, and filler.
    assert settings["second_answers"]["wanted"] == asked * 6
    assert settings["second_answers"]["asked"] == asked * 3
    assert 0 < settings["generated_tokens"]["second_answers"] <= asked * 3 * 4
    items = pd.read_parquet(out / "items.parquet")
    assert len(items) == 16
    assert items["correct"].dtype == bool
    assert set(items["hinted_answer"]) <= set("ABCD")
    page = (out / "report.html").read_text()
    assert "Answer changes" in page
    assert "q3?" in page
    assert run(*words) == 0
    again = json.loads((out / "evaluation.json").read_text())
    assert [each["cached_items"] for each in again["about"]["models"]] == [16 + asked * 3, 16]
    assert again["suites"] == record["suites"]
    assert again["about"]["settings"] == settings


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--answer_tokens", "0"], "`answer_tokens` must be at least 1, got 0."),
        (["--hint_pattern", "("], "`hint_pattern` must be a regular expression, got '('"),
        (["--content_free", "x"], "`--content_free` does not go with `--suite faithfulness`"),
        (["--rewards", "length"], "`--rewards` does not go with"),
    ],
)
def test_what_cannot_be_is_refused_before_a_model_loads(data, tmp_path, capsys, words, said):
    assert run("--model", "no-such-model", "--data", data, "--out", tmp_path / "out", *words) == 1
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_without_data_it_says_what_rows_it_needs(tmp_path, capsys):
    assert run("--model", "no-such-model", "--out", tmp_path / "out") == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "questions with open answers, with prompt answer, or question answer." in said

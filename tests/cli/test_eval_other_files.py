import json

import pytest

from align.cli.app import app
from align.data.kinds import CANDIDATES, PAIRS, PROMPTS, QUESTIONS, tell_kind

ROWS = {
    "questions": {"question": "?", "options": ["a", "b"], "answer": "A"},
    "prompts": {"prompt": "1+1?", "answer": 2},
    "pairs": {"prompt": "?", "chosen": "a", "rejected": "b"},
    "candidates": {"prompt": "?", "responses": ["a", "b"], "quality": [0, 1]},
    "texts": {"text": "a", "label": 1},
}


def run(*words):
    return app(["eval", *map(str, words)], standalone_mode=False) or 0


def test_rows_are_told_by_their_columns():
    found = {name: tell_kind(row) for name, row in ROWS.items()}
    assert found == {
        "questions": QUESTIONS, "prompts": PROMPTS, "pairs": PAIRS, "candidates": CANDIDATES, "texts": None,
    }  # fmt: skip
    assert tell_kind(["chosen", "rejected", "score"]) == PAIRS  # the prompt stands in both


@pytest.mark.parametrize(
    ("asked", "rows", "messages"),
    [
        ("--model", "candidates", ["holds candidates (columns prompt, responses, quality)", "`--best_of_n` in place"]),
        ("--model", "texts", ["holds rows with the columns text, label", "on prompts (prompt)", "with `--adapter`"]),
        ("--reward_model", "prompts", ["holds prompts (columns prompt, answer)", "`--rewards number_accuracy`"]),
        ("--reward_model", "questions", ["holds multiple-choice questions", "accuracy, consistency and reliance"]),
        ("--reward_model", "texts", ["holds rows with the columns text, label", "Read as pairs: "]),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_what_can_be_measured(
    asked, rows, messages, tiny_model_folder, tmp_path, capsys
):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(ROWS[rows]) + "\n" for _ in range(3)))
    assert run(asked, tiny_model_folder, "--data", path, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    for message in (f"{path} ", *messages):
        assert message in error
    assert "Traceback" not in error


def test_a_bad_row_of_the_right_kind_is_named_alone(tiny_model_folder, tmp_path, capsys):
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(ROWS["questions"] | {"answer": "Z"}) + "\n")
    assert run("--model", tiny_model_folder, "--data", path, "--out", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert "answer" in error
    assert "can be measured" not in error

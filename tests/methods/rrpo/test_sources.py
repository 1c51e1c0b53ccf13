import json

import pytest

from align.errors import DataError
from align.methods.rrpo.augmentation.sources import ModelInput, load_sources

GOOD = {"prompt": "Capital of France?", "reference": "Paris"}


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def test_rows_become_sources(tmp_path):
    messages = [{"role": "user", "content": "Which rusts?"}]
    options = {"id": 7, "prompt": messages, "reference": "iron", "options": ["Iron", "gold"], "context": "Metals."}
    sources, report = load_sources(write(tmp_path / "data.jsonl", GOOD, options))
    assert [(source.id, source.row) for source in sources] == [("data-1", 1), ("7", 2)]
    assert sources[0].given == ModelInput("Capital of France?")
    assert sources[1].given.rendered == [{"role": "user", "content": "Metals.\n\nWhich rusts?"}]
    assert sources[1].wrong_answers == ("gold",)
    assert [source.letter for source in sources] == ["", "A"]
    assert report.counts == {"read": 2, "kept": 2, "left_out": 0}


@pytest.mark.parametrize(
    ("change", "column", "rule"),
    [
        ({"prompt": " "}, "prompt", "missing or empty"),
        ({"prompt": [{"role": "assistant", "content": "Hi"}]}, "prompt", "the last message is not a text of the user"),
        ({"prompt": [{"role": "user", "content": [{"type": "image"}]}]}, "prompt", "which is not read here"),
        ({"reference": ""}, "reference", "missing, empty or not a text"),
        ({"reference": 3}, "reference", "not a text"),
        ({"context": 3}, "context", "not a text"),
        ({"id": True}, "id", "neither a text nor a number"),
        ({"wrong_answers": "Lyon"}, "wrong_answers", "not a list of texts"),
        ({"wrong_answers": ["paris"]}, "wrong_answers", "the reference is among"),
        (
            {"prompt": "Capital of France?\n(a) Lyon\n(b) paris", "options": ["Paris", "Lyon"]},
            "options",
            "the prompt shows the right answer as B, and it is A in their order",
        ),
    ],
)
def test_a_bad_row_is_named_by_its_number_and_column(tmp_path, change, column, rule):
    path = write(tmp_path / "data.jsonl", GOOD, GOOD | change)
    with pytest.raises(DataError, match=rf"row 2, column `{column}`: .*{rule}"):
        load_sources(path)
    sources, report = load_sources(path, on_bad_rows="skip")
    assert len(sources) == 1
    assert report.problems[0].row == 2


@pytest.mark.parametrize("prompt", ["A. Lyon\nB. Paris", "Paris and Lyon", "A) paris\nB) Lyon\n\nB. Paris"])
def test_options_in_the_order_of_the_prompt_or_without_letters_there_give_the_letter(tmp_path, prompt):
    row = {"prompt": prompt, "reference": "Paris", "options": ["Lyon", "Paris"]}
    ((source,), _) = load_sources(write(tmp_path / "data.jsonl", row))
    assert source.letter == "B"


def test_an_id_may_not_be_taken_twice(tmp_path):
    path = write(tmp_path / "data.jsonl", GOOD | {"id": "a"}, GOOD | {"id": "a"})
    with pytest.raises(DataError, match="the id is taken"):
        load_sources(path)


def test_an_empty_file_holds_no_rows(tmp_path):
    with pytest.raises(DataError, match="holds no rows"):
        load_sources(write(tmp_path / "data.jsonl"))

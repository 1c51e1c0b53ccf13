import json
from dataclasses import replace

import pytest

from align.data.pairs.candidates import Candidates, load_candidates, save_candidates
from align.errors import DataError


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_are_read_with_and_without_quality(tmp_path):
    user = [{"role": "user", "content": "Hi"}]
    path = write(
        tmp_path / "rows.jsonl",
        {"id": "a", "prompt": "Hi", "responses": ["x", ""], "quality": [1, 0.5]},
        {"prompt": user, "responses": ["y"], "model": "other"},
    )
    first, second = load_candidates(path)[0]
    assert (first.id, first.prompt, first.responses, first.quality) == ("a", "Hi", ("x", ""), (1.0, 0.5))
    assert (second.id, second.prompt, second.responses, second.quality) == ("rows-2", user, ("y",), None)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"responses": []}, "column `responses`: there is no list of texts"),
        ({"responses": ["a", 1]}, "column `responses`: there is no list of texts"),
        ({"quality": [1.0]}, "column `quality`: the quality is not a list of 2 numbers"),
        ({"quality": [1.0, None]}, "column `quality`: the quality is not a finite number"),
        ({"quality": [1.0, float("nan")]}, "column `quality`: the quality is not a finite number"),
        ({"prompt": "  "}, "column `prompt`: the prompt is missing or empty"),
        ({"prompt": [{"role": "user"}]}, "column `prompt`: the content of a message is not a text"),
    ],
)
def test_bad_rows_are_named(tmp_path, changes, rule):
    path = write(tmp_path / "rows.jsonl", {"prompt": "Hi", "responses": ["a", "b"]} | changes)
    with pytest.raises(DataError, match=rf"row 1, {rule}"):
        load_candidates(path)


def test_what_is_saved_is_read_again(tmp_path):
    rows = [
        Candidates("a", "Why?\n\u2028", ("", 'a "b"\n', "\x00\x1b\ud800", "é"), (0.0, 1.0, -1e-300, 0.1), 1),
        Candidates("b", [{"role": "user", "content": "{x}"}], ("same", "same"), None, 2),
    ]
    save_candidates(tmp_path / "new" / "rows.jsonl", rows)
    first, second = load_candidates(tmp_path / "new" / "rows.jsonl")[0]
    assert second == rows[1]
    assert first == replace(rows[0], responses=("", 'a "b"\n', "\ufffd\x1b\ufffd", "é"))  # what no row may hold
    save_candidates(tmp_path / "new" / "rows.jsonl", [])
    with pytest.raises(DataError, match="holds no rows"):
        load_candidates(tmp_path / "new" / "rows.jsonl")

import json

import pytest

from align.data.pairs.candidates import load_candidates
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
        ({"responses": []}, "column `responses`: there is no list of responses"),
        ({"responses": ["a", 1]}, "column `responses`: a response is not a text"),
        ({"quality": [1.0]}, "column `quality`: the quality is not a list of 2 numbers"),
        ({"quality": [1.0, None]}, "column `quality`: a quality is not a finite number"),
        ({"quality": [1.0, float("nan")]}, "column `quality`: a quality is not a finite number"),
        ({"prompt": "  "}, "column `prompt`: the prompt is missing or empty"),
        ({"prompt": [{"role": "user"}]}, "column `prompt`: the content of a message is not a text"),
    ],
)
def test_bad_rows_are_named(tmp_path, changes, rule):
    path = write(tmp_path / "rows.jsonl", {"prompt": "Hi", "responses": ["a", "b"]} | changes)
    with pytest.raises(DataError, match=rf"row 1, {rule}"):
        load_candidates(path)

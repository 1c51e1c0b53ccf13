import json

import pytest

from align.data.problems import BadRow
from align.data.prompt_rows import check_prompt_row, load_prompts, prompts_to_rows

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a city."}]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_keep_the_columns_that_rewards_read(tmp_path):
    file = write(tmp_path / "p.jsonl", [{"id": "a", "prompt": "2+2?", "gold": 4}, {"prompt": "Hi", "topic": "talk"}])
    prompts, report = load_prompts(file)
    assert report.counts["kept"] == 2
    assert prompts_to_rows(prompts) == [
        {"id": "a", "prompt": "2+2?", "gold": 4, "topic": None},
        {"id": "p-2", "prompt": "Hi", "gold": None, "topic": "talk"},
    ]


def test_messages_stay_messages():
    assert check_prompt_row({"prompt": MESSAGES}) == (MESSAGES, {})


BROKEN = {
    "missing": ({}, "missing or empty"),
    "blank": ({"prompt": " "}, "missing or empty"),
    "number": ({"prompt": 3}, "missing or empty"),
    "no role": ({"prompt": [{"content": "Hi"}]}, "not an object with a role"),
    "answered": ({"prompt": [*MESSAGES, {"role": "assistant", "content": "Rome"}]}, "not the user's"),
    "taken": ({"prompt": "Hi", "completion_ids": [1]}, "a column of this name"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_row_that_cannot_be_asked_names_the_rule(case):
    row, words = BROKEN[case]
    with pytest.raises(BadRow) as caught:
        check_prompt_row(row)
    assert words in caught.value.rule
    assert caught.value.remedy

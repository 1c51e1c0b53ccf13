"""A column that nothing reads and whose name is near one that is read is told, and no other one."""

import json

import pytest

from align.auditing.reading import Source
from align.auditing.run import audit
from align.data import load_preferences, load_questions, load_reward_pairs
from align.data.pairs.candidates import load_candidates
from align.data.pairs.reward_bench import load_reward_bench
from align.data.prompt_rows import load_prompts
from align.methods.sft.data import load_demonstrations

PAIR = {"prompt": "q?", "chosen": "q? yes", "rejected": "q? no"}
SAID = {"prompt": "q?", "completion": "yes"}
ASKED = {"question": "q?", "options": ["a", "b"], "answer": 0}
TOLD = {
    "a letter too few": (load_demonstrations, SAID | {"corect": False}, ("corect", "correct")),
    "a letter too many": (load_reward_pairs, PAIR | {"ties": True}, ("ties", "tie")),
    "capitals": (load_reward_pairs, {"chosen": "a b", "rejected": "a c", "Prompt": "a"}, ("Prompt", "prompt")),
    "two letters": (load_preferences, PAIR | {"reject_spans": [[0, 1]]}, ("reject_spans", "rejected_spans")),
    "swapped letters": (load_questions, ASKED | {"gruop": "x"}, ("gruop", "group")),
    "an image": (load_prompts, {"prompt": "q?", "Image": "a.png"}, ("Image", "image")),
    "a benchmark": (load_reward_bench, PAIR | {"ties": True}, ("ties", "tie")),
    "candidates": (load_candidates, {"prompt": "q", "responses": ["a"], "qualty": [1]}, ("qualty", "quality")),
    "conversations": (
        load_demonstrations,
        {"conversations": [{"from": "user", "value": "a"}, {"from": "assistant", "value": "b"}], "corect": True},
        ("corect", "correct"),
    ),
}
SILENT = {
    "both": (load_reward_pairs, PAIR | {"tie": True, "ties": 1}),
    "another word": (load_reward_pairs, PAIR | {"prompt_id": "x", "score_chosen": 1.0, "messages": "x"}),
    "a short name": (load_demonstrations, SAID | {"idx": 3}),
    "empty": (load_demonstrations, SAID | {"corect": None}),
    "not read here": (load_preferences, PAIR | {"ties": True}),
}


def write(tmp_path, row):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for _ in range(3)))
    return path


@pytest.mark.parametrize("case", TOLD)
def test_a_near_name_is_told(tmp_path, case):
    loader, row, (name, meant) = TOLD[case]
    (sentence,) = loader(write(tmp_path, row))[1].unread
    assert f"nothing reads the column `{name}`, and 3 rows that have it lack `{meant}`" in sentence


@pytest.mark.parametrize("case", SILENT)
def test_other_names_are_not_told(tmp_path, case):
    loader, row = SILENT[case]
    assert loader(write(tmp_path, row))[1].unread == []


def test_the_audit_knows_what_training_reads(tmp_path):
    source = Source(str(write(tmp_path, SAID | {"corect": False})))
    assert "nothing reads the column `corect`" in audit([source], near=False).record.sentences[0]

"""A column that nothing reads and whose name is near one that is read is told, and no other one."""

import json
import re

import pytest
import yaml

from align.auditing.reading import Source
from align.auditing.run import audit
from align.data import load_preferences, load_questions, load_reward_pairs
from align.data.demonstrations import load_demonstrations
from align.data.pairs.candidates import load_candidates
from align.data.pairs.reward_bench import load_reward_bench
from align.data.prompt_rows import load_prompts

PAIR = {"prompt": "q?", "chosen": "q? yes", "rejected": "q? no"}
SAID = {"prompt": "q?", "completion": "yes"}
ASKED = {"question": "q?", "options": ["a", "b"], "answer": 0}
TOLD = {
    "a letter too few": (load_demonstrations, SAID | {"corect": False}, ("corect", "correct")),
    "a letter too many": (load_reward_pairs, PAIR | {"ties": True}, ("ties", "tie")),
    "capitals": (load_reward_pairs, {"chosen": "a b", "rejected": "a c", "Prompt": "a"}, ("Prompt", "prompt")),
    "two letters": (load_preferences, PAIR | {"reject_spans": [[0, 1]]}, ("reject_spans", "rejected_spans")),
    "swapped letters": (load_questions, ASKED | {"gruop": "x"}, ("gruop", "group")),
    "a word before it": (load_demonstrations, SAID | {"is_correct": False}, ("is_correct", "correct")),
    "a noun of it": (load_demonstrations, SAID | {"correctness": False}, ("correctness", "correct")),
    "whether": (load_reward_pairs, PAIR | {"Is-Tie": True}, ("Is-Tie", "tie")),
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
    "an image that is there": (load_prompts, {"prompt": "q?", "img": None}),
    "no affix": (load_reward_pairs, PAIR | {"issue": "x", "istie2": 1}),
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


@pytest.mark.parametrize(
    ("load", "row", "said"),
    [
        (load_demonstrations, SAID | {"img": "a.png"}, "lack `image` and `images` and `video`, which are read."),
        (
            load_preferences,
            PAIR | {"spans": [[0, 1]]},
            "`chosen_spans` and `rejected_spans`, which are read. Write",
        ),
        (load_reward_pairs, PAIR | {"tied": True}, "lack `tie`, which is read. If it means the same, rename it."),
    ],
)
def test_another_word_for_what_rows_may_have_is_told(tmp_path, load, row, said):
    (sentence,) = load(write(tmp_path, row))[1].unread
    assert said in sentence


def test_the_entry_that_is_proposed_for_a_recipe_is_taken(tmp_path):
    path = write(tmp_path, SAID | {"is_correct": False, "ask": "q?"})
    (sentence,) = load_demonstrations(path, columns={"prompt": "ask"})[1].unread
    entry = re.search(r"`columns: (\{.*\})` under `dataset` of the recipe", sentence)[1]
    items, report = load_demonstrations(path, columns=yaml.safe_load(entry))
    assert (report.unread, [item.is_correct for item in items]) == ([], [False] * 3)


@pytest.mark.parametrize("case", SILENT)
def test_other_names_are_not_told(tmp_path, case):
    loader, row = SILENT[case]
    assert loader(write(tmp_path, row))[1].unread == []


def test_the_audit_knows_what_training_reads(tmp_path):
    source = Source(str(write(tmp_path, SAID | {"corect": False})))
    assert "nothing reads the column `corect`" in audit([source], near=False).record.sentences[0]

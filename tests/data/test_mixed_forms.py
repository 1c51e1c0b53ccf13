"""Messages whose contents are texts in one place and parts in another become one table, in one form."""

import json

import pytest

from align.data.demonstrations import load_demonstrations
from align.data.pairs.preferences import load_preferences, pairs_to_rows
from align.data.pairs.reward_pairs import load_reward_pairs, reward_pairs_to_rows
from align.data.prompt_rows import load_prompts, prompts_to_rows
from align.training.build import as_dataset


def parts(role, *texts):
    return {"role": role, "content": [{"type": "text", "text": text} for text in texts]}


def text(role, content):
    return {"role": role, "content": content}


ASKED = {
    "a text": [text("user", "What?")],
    "parts": [parts("user", "What", " is it?")],
    "a system message in parts": [parts("system", "Be brief."), text("user", "What?")],
    "a user in parts": [text("system", "Be brief."), parts("user", "What?")],
}
ANSWERS = {
    "chosen": [parts("assistant", "A cat.")],
    "rejected": [text("assistant", "A dog.")],
    "completion": [parts("assistant", "A cat.")],
}
KINDS = {
    "prompts": ((), load_prompts, prompts_to_rows),
    "preferences": (("chosen", "rejected"), load_preferences, pairs_to_rows),
    "reward pairs": (("chosen", "rejected"), load_reward_pairs, reward_pairs_to_rows),
    "demonstrations": (("completion",), load_demonstrations, lambda items: [item.columns for item in items]),
}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def forms_of(table):
    return {type(each["content"]) for row in table for each in row["prompt"]}


@pytest.mark.parametrize("kind", KINDS)
def test_texts_and_parts_of_texts_become_one_form(tmp_path, kind):
    columns, load, to_rows = KINDS[kind]
    rows = [{"prompt": prompt} | {name: ANSWERS[name] for name in columns} for prompt in ASKED.values()]
    items, report = load(write(tmp_path / "rows.jsonl", rows))
    assert report.num_kept == len(ASKED)
    table = as_dataset(to_rows(items))
    assert forms_of(table) == {str}
    assert table[1]["prompt"][-1]["content"] == "What is it?"


@pytest.mark.parametrize("kind", ["prompts", "preferences"])
def test_with_images_all_are_parts_and_each_has_its_place(tmp_path, kind):
    pytest.importorskip("PIL", reason="needs the extra `vision`")
    from scenes import square

    square().save(tmp_path / "red.png")
    columns, load, to_rows = KINDS[kind]
    place = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
    prompts = [[place], [parts("system", "Be brief."), place], *ASKED.values()]
    prompts.append([place, text("assistant", "This."), text("user", "Sure?")])
    rows = [{"prompt": prompt} | {name: ANSWERS[name] for name in columns} for prompt in prompts]
    for row in (*rows[:2], rows[-1]):
        row["images"] = ["red.png"]
    items, report = load(write(tmp_path / "rows.jsonl", rows))
    assert report.num_kept == len(prompts)
    table = as_dataset(to_rows(items))
    assert forms_of(table) == {list}
    places = [[part["type"] for each in row["prompt"] for part in each["content"]].count("image") for row in table]
    assert places == [len(row["images"]) for row in table] == [1, 1, 0, 0, 0, 0, 1]
    first_turn = table[len(prompts) - 1]["prompt"][0]["content"]
    assert [part["type"] for part in first_turn] == ["image", "text"]

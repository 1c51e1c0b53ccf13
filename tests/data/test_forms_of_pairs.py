"""Rows of pairs in the forms of TRL: parts, prompts inside both responses, tool calls, columns for the template."""

import json
import random

import pytest
from trl import extract_prompt

from align.data.conversations import put_images_in
from align.data.demonstrations import check_demonstration
from align.data.pairs.pair import split_pair
from align.data.pairs.preferences import check_pair, load_preferences, pair_to_row, pairs_to_rows
from align.data.pairs.reward_pairs import check_reward_pair, load_reward_pairs, reward_pairs_to_rows
from align.data.problems import BadRow
from align.data.prompt_rows import check_prompt_row

TEXT = {"type": "text", "text": "Capital of France?"}
USER, PARIS, ROME = ({"role": role, "content": text} for role, text in (
    ("user", TEXT["text"]), ("assistant", "It is Paris."), ("assistant", "It is Rome.")
))  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"x": None}}}]


def in_parts(message):
    return message | {"content": [{"type": "text", "text": message["content"], "image": None}]}


def call(city):
    arguments = {"city": city} if city == "Paris" else {"town": city}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "look", "arguments": arguments}}],
    }


def test_sharegpt_is_read_by_every_method():
    names = {"user": "human", "assistant": "gpt"}
    asked, *said = ({"from": names[x["role"]], "value": x["content"]} for x in (USER, PARIS, ROME))
    row = {"prompt": [asked], "chosen": said[:1], "rejected": said[1:]}
    assert split_pair(row) == split_pair({"prompt": [USER], "chosen": [PARIS], "rejected": [ROME]})
    assert check_prompt_row({"prompt": [asked]})[0] == [USER]
    for column in ("conversations", "messages"):
        assert check_demonstration({column: [asked, said[0]]}) == {"messages": [USER, PARIS]}
    with pytest.raises(BadRow, match="not an object with a role"):
        check_prompt_row({"prompt": [{"from": ["human"], "value": "?"}]})


def test_parts_of_text_are_read_as_the_text_they_hold():
    plain = {"prompt": [USER], "chosen": [PARIS], "rejected": [ROME]}
    parts = {column: [in_parts(message) for message in messages] for column, messages in plain.items()}
    whole = {side: [*parts["prompt"], *parts[side]] for side in ("chosen", "rejected")}
    assert check_pair(parts) == check_pair(whole) == check_pair(plain)
    assert check_reward_pair(parts) == check_reward_pair(plain)
    split = [TEXT | {"text": "Capital "}, TEXT | {"text": "of France?"}]
    assert split_pair(plain | {"prompt": [USER | {"content": split}]}).prompt == [USER]


def test_a_prompt_inside_two_texts_is_split_off_as_by_trl():
    rng = random.Random(0)
    for _ in range(300):
        shared = "".join(rng.choices("ab ", k=rng.randint(1, 6)))
        chosen, rejected = (shared + "".join(rng.choices("ab ", k=rng.randint(1, 5))) + end for end in ("c", "d"))
        if not extract_prompt({"chosen": chosen, "rejected": rejected})["prompt"].strip():
            continue  # trl splits before what is blank; here it is said that there is no prompt
        ours = split_pair({"chosen": chosen, "rejected": rejected})
        theirs = extract_prompt({"chosen": chosen, "rejected": rejected})
        assert (ours.prompt, ours.chosen, ours.rejected) == (theirs["prompt"], theirs["chosen"], theirs["rejected"])
        assert ours.is_implicit


def test_places_of_images_stay_where_they_are():
    question = USER | {"content": [TEXT, {"type": "image", "text": None}]}
    row = {"images": ["a.png"], "prompt": [question], "chosen": [PARIS], "rejected": [ROME]}
    prompt = check_pair(row).prompt
    assert prompt == [USER | {"content": [TEXT, {"type": "image"}]}]
    assert put_images_in(prompt, ["picture"]) == [USER | {"content": [TEXT, "picture"]}]


def test_responses_with_tool_calls_keep_their_messages_and_are_marked_by_a_diff():
    row = {"prompt": [USER], "chosen": [call("Paris")], "rejected": [call("Rome")], "tools": json.dumps(TOOLS)}
    pair = check_pair(row)
    assert pair.messages[0] == [{key: value for key, value in call("Paris").items() if value is not None}]
    assert (pair.spans_from, pair.template) == ("diff", {"tools": TOOLS})
    assert [pair.chosen[slice(*span)] for span in pair.chosen_spans] == ["city", "Paris"]
    again = pair_to_row(pair) | {"tools": row["tools"]}
    assert check_pair(again) == pair


def test_a_turn_of_a_tool_may_stand_in_a_response():
    turns = [
        [call(city), {"role": "tool", "content": city}, says] for city, says in (("Paris", PARIS), ("Rome", ROME))
    ]
    pair = check_reward_pair({"prompt": [USER], "chosen": turns[0], "rejected": turns[1]})
    assert [message["role"] for message in pair.messages[0]] == ["assistant", "tool", "assistant"]


@pytest.mark.parametrize(("load", "to_rows"), [
    (load_preferences, pairs_to_rows), (load_reward_pairs, reward_pairs_to_rows),
])  # fmt: skip
def test_rows_of_a_file_reach_the_trainer_with_the_columns_of_the_template(tmp_path, load, to_rows):
    plain = {"prompt": [in_parts(USER)], "chosen": [PARIS], "rejected": [ROME]}
    rows = [plain | {"chat_template_kwargs": {"enable_thinking": False}}, plain | {"tools": TOOLS}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    first, second = to_rows(load(tmp_path / "rows.jsonl")[0])
    assert (first["tools"], json.loads(second["tools"])) == (None, TOOLS)
    assert (first["chat_template_kwargs"], second["chat_template_kwargs"]) == ({"enable_thinking": False}, {})
    assert first["prompt"] == [USER]


def test_margins_of_reward_pairs_are_read_and_absent_ones_are_zero(tmp_path):
    plain = {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"}
    lines = [json.dumps(row) + "\n" for row in (plain | {"margin": 0.5}, plain)]
    (tmp_path / "rows.jsonl").write_text("".join(lines), encoding="utf-8")
    rows = reward_pairs_to_rows(load_reward_pairs(tmp_path / "rows.jsonl")[0])
    assert [row["margin"] for row in rows] == [0.5, 0.0]

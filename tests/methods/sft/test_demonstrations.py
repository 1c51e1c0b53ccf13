import json
import re
from importlib.resources import files

import pytest
import yaml
from pair_recipe import write_rows

from align.checks.launch import Launch
from align.data.demonstrations import load_demonstrations
from align.errors import DataError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

USER, ASSISTANT = {"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}
TEXTS = {"prompt": "1 + 1?", "completion": "2"}
MESSAGES = {"messages": [USER, ASSISTANT]}
LONG = {"messages": [USER | {"content": "x" * 40}, ASSISTANT]}
MARKED = (
    "{% for m in messages %}{{ m['role'] }}: {% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}\n"
    "{% endgeneration %}{% else %}{{ m['content'] }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
TEMPLATE = {"chat_template_path": "./template.jinja"}
SPLIT = {"prompt": [USER], "completion": [ASSISTANT]}
LONG_SPLIT = {"prompt": LONG["messages"][:1], "completion": LONG["messages"][1:]}


@pytest.mark.parametrize("row", [TEXTS, MESSAGES, SPLIT], ids=["texts", "messages", "split"])
def test_rows_of_every_form_reach_trl_as_they_are(tmp_path, row):
    path = write_rows(tmp_path / "rows.jsonl", [row | {"id": "a", "correct": True, "topic": "sums"}, row])
    (first, second), report = load_demonstrations(path)
    assert (first.columns, first.id, first.is_correct) == (row, "a", True)
    assert (second.id, second.is_correct, report.num_kept) == ("rows-2", None, 2)


def test_a_table_says_in_words_what_is_correct(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("prompt,completion,correct\na?,b,True\na?,c,false\na?,d,\n")
    assert [row.is_correct for row in load_demonstrations(path)[0]] == [True, False, None]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"question": "1 + 1?", "answer": "2"}, "the row has neither `messages`, nor `prompt` and `completion`. "),
        ({"question": "1 + 1?"}, "It has: 'question'. Write them, or name others with `columns` under `dataset`."),
        ({"prompt": "1 + 1?"}, "column `completion`: the completion is missing or empty. Write a text."),
        ({"completion": "2"}, "column `prompt`: the prompt is missing or empty"),
        (TEXTS | {"completion": "  "}, "the completion is missing or empty (value: '  ')"),
        (TEXTS | {"completion": 2}, "the completion is missing or empty (value: 2)"),
        (TEXTS | {"completion": [ASSISTANT]}, "the prompt is a text and the completion is messages"),
        (SPLIT | {"completion": "2"}, "the prompt is messages and the completion is a text"),
        (SPLIT | {"completion": []}, "the completion is missing or empty"),
        (SPLIT | {"completion": [USER]}, "there is no assistant message"),
        ({"messages": [USER]}, "there is no assistant message"),
        ({"messages": "1 + 1?"}, "the messages are not a list"),
        ({"messages": [USER, ASSISTANT | {"content": " "}]}, "an assistant message is empty"),
        ({"messages": [USER, {"role": "assistant", "content": None}]}, "the content of a message is not a text"),
        (TEXTS | MESSAGES, "the row has `messages` and `prompt`, and TRL would read one of them"),
        (TEXTS | {"correct": "maybe"}, "`correct` is neither true nor false (value: 'maybe')"),
        (TEXTS | {"tools": [{"name": "sum"}]}, "`tools` is for the chat template, and the prompt is a text"),
    ],
)
def test_a_row_that_cannot_be_learnt_from_is_refused_in_a_sentence(tmp_path, row, words):
    path = write_rows(tmp_path / "rows.jsonl", [row, TEXTS])
    with pytest.raises(DataError, match=re.escape(words)):
        load_demonstrations(path)
    kept, report = load_demonstrations(path, on_bad_rows="skip")
    assert ([each.row for each in kept], len(report.problems)) == ([2], 1)


@pytest.fixture
def check(tmp_path, tiny_model_folder):
    def run(rows, launch=None, dataset=None, **settings):
        write_rows(tmp_path / "rows.jsonl", rows)
        content = {"method": "sft", "model_name_or_path": str(tiny_model_folder), "use_cpu": True, "bf16": False}
        content |= {"dataset": {"path": "./rows.jsonl"} | (dataset or {}), "per_device_train_batch_size": 2}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content | settings))
        checked = prepare(load_recipe(tmp_path / "recipe.yaml"), launch or Launch())
        return checked, {level: " ".join(f.text for f in checked.findings if f.level == level) for level in LEVELS}

    return run


LEVELS = ("ok", "warning", "error")
ROWS = [{"prompt": f"{i} + {i}? ", "completion": str(2 * i), "correct": i % 4 != 0} for i in range(8)]


@pytest.mark.parametrize(("keep", "number", "words"), [(True, 8, "learnt from, too"), (False, 6, "are left out, as")])
def test_incorrect_rows_are_kept_or_left_out_and_counted(check, keep, number, words):
    checked, found = check(ROWS, dataset={"keep_incorrect": keep})
    assert len(checked.data.rows) == number
    assert "2 of 8 rows have `correct: false`." in found["warning"]
    assert words in found["warning"]
    assert f"One pass over {number} demonstrations" in found["ok"]
    assert json.dumps(checked.data.rows[0]).count("correct") == 0


def test_a_key_that_selects_by_a_column_that_no_row_has_is_told_with_what_is_meant(check):
    rows = [{"is_correct" if name == "correct" else name: value for name, value in row.items()} for row in ROWS]
    checked, found = check(rows, dataset={"keep_incorrect": False, "fps": 2.0})
    assert len(checked.data.rows) == 8
    assert "`dataset.keep_incorrect: false` does nothing: no row of " in found["warning"]
    assert "`dataset.fps: 2.0` does nothing: " in found["warning"]
    assert "nothing reads the column `is_correct`, and 8 rows" in found["warning"]
    assert "`columns: {correct: is_correct}` under `dataset` of the recipe" in found["warning"]
    checked, found = check(rows, dataset={"keep_incorrect": False, "columns": {"correct": "is_correct"}})
    assert len(checked.data.rows) == 6
    assert "does nothing" not in found["warning"]
    assert "nothing reads" not in found["warning"]
    mix = [{"path": "./rows.jsonl"}, {"path": "./rows.jsonl"}]
    _, found = check(rows, dataset={"keep_incorrect": False, "path": None, "mix": mix})
    assert "does nothing" in found["warning"]


def test_without_a_row_that_is_right_nothing_is_trained(check):
    _, found = check([row | {"correct": False} for row in ROWS], dataset={"keep_incorrect": False})
    assert "All 8 rows of " in found["error"]
    assert "Keep them, or give rows that are right." in found["error"]


def test_what_is_too_long_is_told_before_trl_cuts_it_off(check):
    rows = [*ROWS, {"id": "long", "prompt": "x" * 40, "completion": "y"}, TEXTS | {"completion": "z" * 40}]
    _, found = check(rows, max_length=30)
    assert "2 of 10 demonstrations are longer than `max_length`, and TRL cuts them off: " in found["warning"]
    assert (
        "Of 1 demonstrations the prompt alone fills `max_length`, and nothing is learnt from them: long."
        in (found["warning"])
    )
    _, found = check(ROWS, max_length=2048, packing=True)
    assert "Rows take up to 2048 tokens; the model's window is" in found["error"]
    checked, _ = check(ROWS, max_length=64)
    (lengths,) = [f.numbers for f in checked.findings if f.check == "lengths"]
    assert lengths["max"] == len("7 + 7? ") + len("14") + 1  # one token per character, and the end
    ended, _ = check([row | {"completion": row["completion"] + "<eos>"} for row in ROWS], max_length=64)
    assert [f.numbers["max"] for f in ended.findings if f.check == "lengths"] == [lengths["max"]]  # as TRL has it


LONG_TEXT = {"id": "long", "prompt": "x" * 40, "completion": "y"}
CUT, GONE = "1 of 2 demonstrations are longer than `max_length`", "Of 1 demonstrations the prompt alone fills"
WRAPPED, SPLIT_UP = ({"packing": True, "packing_strategy": name} for name in ("wrapped", "bfd_split"))
KEEP_END = {"truncation_mode": "keep_end"}
ANSWERS = {"assistant_only_loss": True}


@pytest.mark.parametrize(
    ("row", "settings", "words", "others"),
    [
        (LONG_TEXT, {"completion_only_loss": True}, [CUT, GONE], []),
        (LONG_TEXT, {"packing": True}, [CUT, GONE], []),
        (LONG_TEXT, {"packing": True} | KEEP_END, [CUT, GONE], []),  # packing keeps the start
        (LONG_TEXT, KEEP_END, [CUT], [GONE]),
        (LONG_TEXT, {"completion_only_loss": False}, [CUT], [GONE]),
        (LONG_TEXT, WRAPPED, [], [CUT, GONE]),
        (LONG_TEXT, SPLIT_UP, [], [CUT, GONE]),
        (LONG, {}, [CUT], [GONE]),
        (LONG, ANSWERS, [CUT, GONE], []),
        (LONG, ANSWERS | KEEP_END, [CUT], [GONE]),
        (LONG_SPLIT, {}, [CUT, GONE], []),
        (LONG_SPLIT, {"completion_only_loss": False}, [CUT], [GONE]),
        (LONG_SPLIT, ANSWERS | {"completion_only_loss": False}, [CUT, GONE], []),
    ],
)
def test_a_row_is_said_to_be_cut_or_lost_where_trl_does_so(check, tmp_path, row, settings, words, others):
    (tmp_path / "template.jinja").write_text(MARKED)
    short = {
        name: ("1" if isinstance(part, str) else [part[0] | {"content": "1"}, *part[1:]]) for name, part in row.items()
    }
    _, found = check([short | {"id": "short"}, row | {"id": "long"}], max_length=32, **TEMPLATE, **settings)
    assert found["error"] == ""
    for part in words:
        assert f"{part}" in found["warning"]
    assert not [part for part in others if part in found["warning"]]


DROPS = {"packing": True, "dataloader_drop_last": True, "max_length": 64}
FEW = "at most 3 rows of `max_length: 64` tokens, fewer than `per_device_train_batch_size: 4`"


@pytest.mark.parametrize(
    ("settings", "words"),
    [(DROPS, FEW), (DROPS | {"dataloader_drop_last": False}, ""), (DROPS | {"per_device_train_batch_size": 3}, "")],
)
def test_packed_rows_that_cannot_fill_a_batch_which_is_left_out_are_an_error(check, settings, words):
    _, found = check(ROWS, **{"per_device_train_batch_size": 4} | settings)
    assert words in found["error"]
    assert bool(found["error"]) == bool(words)


def test_a_row_is_lost_from_the_token_on_at_which_its_answer_would_begin(check, tmp_path):
    (tmp_path / "template.jinja").write_text(MARKED)
    rows = [MESSAGES, LONG]
    begins = len("user: " + "x" * 40 + "\nassistant: ")
    assert GONE in check(rows, max_length=begins, **TEMPLATE, **ANSWERS)[1]["warning"]
    assert GONE not in check(rows, max_length=begins + 1, **TEMPLATE, **ANSWERS)[1]["warning"]


@pytest.mark.parametrize(
    ("row", "setting", "words"),
    [
        (TEXTS, "assistant_only_loss", "as texts, and `assistant_only_loss: true` needs messages. Write the rows as"),
        (MESSAGES, "completion_only_loss", "are `messages`, and `completion_only_loss: true` needs `prompt` and"),
        (MESSAGES, "assistant_only_loss", "needs a chat template that marks answers with `{% generation %}`, and"),
        (TEXTS, "completion_only_loss", ""),
    ],
)
def test_rows_have_the_part_that_alone_is_learnt(check, row, setting, words):
    error = check([row] * 2, **{setting: True})[1]["error"]
    assert words in error if words else "only_loss" not in error


@pytest.mark.parametrize("row", [MESSAGES, SPLIT])
@pytest.mark.parametrize("template", [MARKED, (files("trl") / "chat_templates/qwen3.jinja").read_text("utf-8")])
def test_answers_are_learnt_alone_where_the_template_marks_them_or_trl_does(check, tmp_path, row, template):
    (tmp_path / "template.jinja").write_text(template)
    assert "only_loss" not in check([row] * 2, assistant_only_loss=True, **TEMPLATE)[1]["error"]


@pytest.mark.parametrize(
    ("row", "settings", "words"),
    [
        (
            TEXTS,
            {"dataset_kwargs": {"skip_prepare_dataset": True}},
            "skip_prepare_dataset: true}` needs rows of tokens",
        ),
        (TEXTS, {"dataset_kwargs": {"skip_prepare_dataset": False}}, ""),
        (
            {"text": "1 + 1 = 2"},
            {"dataset_text_field": "body"},
            "must stay `text`, as rows of a recipe call it; got 'bo",
        ),
        ({"text": "1 + 1 = 2"}, {"dataset_text_field": "text"}, ""),
        (MESSAGES, {"dataset_text_field": "body"}, ""),
    ],
)
def test_trl_is_left_to_read_the_rows_as_they_are(check, row, settings, words):
    error = check([row] * 2, **settings)[1]["error"]
    assert words in error if words else "dataset_" not in error


def test_rows_of_two_forms_and_messages_without_a_template_are_errors(check, tmp_path, tiny_model_folder):
    assert (
        "Some rows are `messages` and others `prompt` and `completion` as texts"
        in check([TEXTS, MESSAGES])[1]["error"]
    )
    assert check([MESSAGES] * 2, max_length=64)[1]["error"] == ""
    folder = tmp_path / "plain"
    folder.mkdir()
    for name in ("tokenizer.json", "config.json", "model.safetensors"):
        (folder / name).write_bytes((tiny_model_folder / name).read_bytes())
    _, found = check([MESSAGES] * 2, model_name_or_path=str(folder))
    assert "has no chat template" in found["error"]

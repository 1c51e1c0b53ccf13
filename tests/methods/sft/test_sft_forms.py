"""SFT on every form of demonstrations that TRL's trainer reads, as TRL's does."""

import json

import pytest
from forms_of_rows import QUIET, TOOLS, calls, data_set, parts, says, stream, tokenizer
from tiny import tiny_model
from trained import logged
from trl import SFTTrainer

from align.data.demonstrations import load_demonstrations
from align.methods.sft.config import SFTConfig
from align.methods.sft.trainer import CountedSFTTrainer

ASKED = [f"What is the number of house {i}?" for i in range(4)]
SPLIT = [
    {"prompt": says("user", text), "completion": says("assistant", f"It is {i}.")} for i, text in enumerate(ASKED)
]
FORMS = {
    "texts": [{"prompt": text, "completion": f" It is {i}."} for i, text in enumerate(ASKED)],
    "messages": [{"messages": row["prompt"] + row["completion"]} for row in SPLIT],
    "parts": [{"messages": parts(row["prompt"] + row["completion"])} for row in SPLIT],
    "parts of prompts": [{column: parts(messages) for column, messages in row.items()} for row in SPLIT],
    "conversations": [
        {"conversations": [{"from": "user", "value": text}, {"from": "assistant", "value": "1"}]} for text in ASKED
    ],
    "switch": [row | {"chat_template_kwargs": {"enable_thinking": False}} for row in SPLIT],
    "tools": [row | {"tools": TOOLS} for row in SPLIT],
    "tool calls": [row | {"completion": calls(i), "tools": TOOLS} for i, row in enumerate(SPLIT)],
}


def trained(folder, rows, *, trainer=CountedSFTTrainer, evaluated=None, **settings):
    rows = data_set(rows) if isinstance(rows, list) else rows
    made = trainer(
        tiny_model(),
        args=SFTConfig(**QUIET | {"output_dir": str(folder)} | settings),
        train_dataset=rows,
        eval_dataset=evaluated,
        processing_class=tokenizer(),
    )
    made.train()
    return made


@pytest.mark.by_day("messages", "conversations", "tool calls")
@pytest.mark.parametrize("form", FORMS)
def test_every_form_is_learnt_as_by_trl(tmp_path, form):
    evaluated = data_set(FORMS[form]) if form == "messages" else None  # rows of an evaluation are read as these are
    settings = {"evaluated": evaluated, "max_steps": 1}
    both = (CountedSFTTrainer, SFTTrainer)
    ours, theirs = (trained(tmp_path, FORMS[form], trainer=each, **settings) for each in both)
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 1
    if evaluated:
        assert ours.evaluate()["eval_loss"] == theirs.evaluate()["eval_loss"]


def test_a_stream_is_learnt_from_as_its_rows_in_memory_are(tmp_path):
    rows = FORMS["parts"]
    ours, theirs = (trained(tmp_path, each, evaluated=each) for each in (stream(rows), data_set(rows)))
    assert logged(ours) == logged(theirs)
    assert ours.evaluate()["eval_loss"] == theirs.evaluate()["eval_loss"]


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_form_are_read_from_a_file(tmp_path, form):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FORMS[form]), encoding="utf-8")
    read = load_demonstrations(tmp_path / "rows.jsonl")[0]
    assert len(read) == 4
    assert read[0].template.keys() == FORMS[form][0].keys() & {"tools", "chat_template_kwargs"}
    if "parts" in form:
        assert read[0].columns == (FORMS["messages"] if form == "parts" else SPLIT)[0]

"""SFT on every form of demonstrations that TRL's trainer reads, plain, with LfU and with consistency."""

import json

import pytest
from forms_of_rows import QUIET, TOOLS, calls, data_set, parts, says, stream, tokenizer
from tiny import tiny_model
from trained import logged
from trl import SFTConfig, SFTTrainer

from align.data.demonstrations import load_demonstrations
from align.experimental.consistency.sft import ConsistentSFTTrainer
from align.experimental.lfu.trainer import LfUTrainer

CONSISTENT = {"consistency_coef": 0.5, "consistency_families": ["distractor"]}
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


def trained(folder, rows, *, trainer=LfUTrainer, evaluated=None, **settings):
    config = getattr(trainer, "_config", SFTConfig)
    rows = data_set(rows) if isinstance(rows, list) else rows
    made = trainer(
        tiny_model(),
        args=config(**QUIET | {"output_dir": str(folder)} | settings),
        train_dataset=rows,
        eval_dataset=evaluated,
        processing_class=tokenizer(),
    )
    made.train()
    return made


@pytest.mark.by_day("messages", "conversations", "tool calls")
@pytest.mark.parametrize("form", FORMS)
def test_neutral_lfu_is_sft_and_consistency_compares_answers_on_every_form(tmp_path, form):
    evaluated = data_set(FORMS[form]) if form == "messages" else None  # rows of an evaluation are read as these are
    settings = {"evaluated": evaluated, "max_steps": 1}
    ours, theirs = (trained(tmp_path, FORMS[form], trainer=each, **settings) for each in (LfUTrainer, SFTTrainer))
    assert logged(ours) == logged(theirs)
    assert len(logged(ours)) == 1
    if evaluated:
        assert ours.evaluate()["eval_loss"] == theirs.evaluate()["eval_loss"]
    consistent = trained(tmp_path, FORMS[form], trainer=ConsistentSFTTrainer, max_steps=1, **CONSISTENT)
    assert logged(consistent, "consistency/changed") == [1.0]
    assert logged(consistent, "consistency/divergence")[0] > 0


def test_a_stream_is_learnt_from_as_its_rows_in_memory_are(tmp_path):
    rows = FORMS["parts"]
    ours, theirs = (trained(tmp_path, each, evaluated=each, lfu_coef=1.0) for each in (stream(rows), data_set(rows)))
    assert logged(ours) == logged(theirs)
    assert ours.evaluate()["eval_loss"] == theirs.evaluate()["eval_loss"]


@pytest.mark.parametrize(("rows", "words"), [
    (stream(SPLIT), "rows of a stream have none. Give a `datasets.Dataset`"),
    ([{"text": text} for text in ASKED], "the row has no prompt of its own: columns text. Write `messages`"),
])  # fmt: skip
def test_consistency_says_what_it_cannot_compare_and_what_to_write(tmp_path, rows, words):
    with pytest.raises(ValueError, match=words):
        trained(tmp_path, rows, trainer=ConsistentSFTTrainer, **CONSISTENT)


@pytest.mark.parametrize("form", FORMS)
def test_rows_of_every_form_are_read_from_a_file(tmp_path, form):
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in FORMS[form]), encoding="utf-8")
    read = load_demonstrations(tmp_path / "rows.jsonl")[0]
    assert len(read) == 4
    assert read[0].template.keys() == FORMS[form][0].keys() & {"tools", "chat_template_kwargs"}
    if "parts" in form:
        assert read[0].columns == (FORMS["messages"] if form == "parts" else SPLIT)[0]

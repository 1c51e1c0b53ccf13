"""What ACRE on questions with options refuses, with what to do instead."""

import pytest
from datasets import Dataset
from test_acre import QUIET, TOKENIZER, by_length, make_rows, make_trainer, render
from tiny import tiny_model
from trl import GRPOConfig

from align.errors import DataError
from align.methods.acre.config import ACREConfig
from align.methods.acre.trainer import ACRETrainer
from rewards import answer_consistency


def test_missing_columns_and_another_prompt_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no options \(columns: prompt, question, answer\)"):
        make_trainer(tmp_path, [by_length], [{"prompt": "q", "question": "q", "answer": 0}] * 8)
    with pytest.raises(ValueError, match="asks another question"):
        make_trainer(tmp_path, [by_length], [row | {"prompt": "Please: " + row["prompt"]} for row in make_rows()])


def test_rows_that_would_all_be_wrong_or_end_an_evaluation_are_refused(tmp_path):
    rows = make_rows(8)
    with pytest.raises(ValueError, match="The train dataset has no rows"):
        ACRETrainer(
            tiny_model(vocabulary=len(TOKENIZER)),
            [by_length],
            ACREConfig(str(tmp_path), **QUIET),
            Dataset.from_list(rows).select([]),
            processing_class=TOKENIZER,
            render_prompt=render,
        )
    with pytest.raises(DataError, match=r"`answer` must be the index .* from 0 to 3; the row of 'q0\?' has 'B'"):
        make_trainer(tmp_path, [by_length], [row | {"answer": "B"} for row in rows])
    trainer = make_trainer(tmp_path, [by_length], [rows[0], rows[1] | {"answer": 4}])
    with pytest.raises(DataError, match=r"the row of 'q1\?' has 4"):
        trainer.train()
    with pytest.raises(ValueError, match="the eval dataset has no question, options, answer"):
        trainer.evaluate({"held out": Dataset.from_list([{"prompt": "q"}])})


@pytest.mark.parametrize(("name", "value"), [("families", ["whitespace"]), ("gold_column", "solution")])
def test_settings_of_text_answers_are_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"`{name}` is about answers that are texts"):
        make_trainer(tmp_path, [by_length], **{name: value})


@pytest.mark.parametrize("name", ["answer_consistency", "./mine.py:brevity"])
def test_a_reward_that_is_named_as_in_a_recipe_is_no_model_of_the_hub(tmp_path, name):
    with pytest.raises(ValueError, match=rf"Give the function: `rewards.resolve_reward\('{name}'\)`"):
        make_trainer(tmp_path, [by_length, name])


def test_a_function_that_hides_what_it_reads_is_told_to_name_it(tmp_path, capsys):
    def wrapped(completions, **kwargs):
        return answer_consistency(completions=completions, **kwargs)

    make_trainer(tmp_path, [wrapped])
    assert (
        "No reward reads second answers, so none are asked for and this run is GRPO. If `wrapped`"
        in capsys.readouterr().err
    )
    make_trainer(tmp_path, [wrapped, answer_consistency])
    assert "No reward reads second answers" not in capsys.readouterr().err


def test_another_config_is_refused(tmp_path):
    config = GRPOConfig(output_dir=str(tmp_path), **QUIET)
    with pytest.raises(TypeError, match="must be an ACREConfig, got GRPOConfig"):
        ACRETrainer("unused", reward_funcs=[by_length], args=config, render_prompt=render)

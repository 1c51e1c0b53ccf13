"""What an evaluation generates is counted, and stays out of the tables of what is trained on."""

import json

import pandas as pd
import pytest
from datasets import Dataset, IterableDataset
from some_recipes import PROMPTS, trainer_class
from tiny import tiny_model, tiny_tokenizer
from trl import GRPOConfig

from align.report.run.reward_calls import read_reward_calls
from rewards.running.guard import GuardSettings, guard_rewards

TOKENIZER = tiny_tokenizer()


def by_length(completions, **kwargs):
    return [float(len(text) % 3) for text in completions]


def train(folder, columns=(), resume_from=None, **settings):
    """Trains for four steps on two prompts each, and evaluates after every second on a row with more columns."""
    given = {
        "output_dir": str(folder), "max_steps": 4, "per_device_train_batch_size": 8, "num_generations": 4,
        "max_completion_length": 3, "logging_steps": 1, "bf16": False, "use_cpu": True, "report_to": "none",
        "save_strategy": "steps", "save_steps": 2, "disable_tqdm": True, "log_completions": True,
        "num_completions_to_print": 0, "eval_strategy": "steps", "eval_steps": 2, "per_device_eval_batch_size": 4,
    }  # fmt: skip
    trainer = trainer_class(PROMPTS)(
        tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=guard_rewards([by_length], GuardSettings()),
        args=GRPOConfig(**given | settings),
        train_dataset=Dataset.from_list([{"prompt": f"t{i}?"} for i in range(24)]),
        eval_dataset=Dataset.from_list([{"prompt": "e?", **dict.fromkeys(columns, "7")}]),
        processing_class=TOKENIZER,
    )
    trainer.train(resume_from_checkpoint=resume_from)
    return trainer


@pytest.mark.parametrize(("num_iterations", "columns"), [(1, ()), (2, ("answer",))])
def test_tables_hold_what_was_trained_on(tmp_path, columns, num_iterations):
    trainer = train(tmp_path, columns, num_iterations=num_iterations)
    tables = {path.name: pd.read_parquet(path) for path in sorted((tmp_path / "completions").iterdir())}
    assert list(tables) == [f"completions_{step:05}.parquet" for step in range(1, 5)]
    for table in tables.values():
        assert len(table) == 8
        assert table["prompt"].str.startswith("t").all()
        assert "gold" not in table
    apart = sorted((tmp_path / "evaluations" / "completions").iterdir())
    assert [path.name for path in apart] == ["completions_00002.parquet", "completions_00004.parquet"]
    for path in apart:
        assert set(pd.read_parquet(path)["prompt"]) == {"e?"}
    evaluated = [entry["eval_rewards/by_length/mean"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert len(evaluated) == 2


def test_calls_of_a_run_that_goes_on_are_those_of_the_uninterrupted_one(tmp_path):
    train(tmp_path)
    file = tmp_path / "rewards.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [(line["step"], line["mode"]) for line in lines] == [
        (1, "train"), (2, "train"), (2, "eval"), (3, "train"), (4, "train"), (4, "eval"),
    ]  # fmt: skip
    whole = read_reward_calls(tmp_path).counts[0]
    assert whole["completions"] == f"{4 * 8 + 2 * 4}"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines[:4]))  # killed in step 3, after its rewards
    train(tmp_path, resume_from=str(tmp_path / "checkpoint-2"))
    assert {"goes_on_after": 2} in [json.loads(line) for line in file.read_text().splitlines()]
    assert read_reward_calls(tmp_path).counts[0]["completions"] == whole["completions"]


def test_content_that_is_parts_stands_beside_texts_in_a_table(tmp_path):
    asked = [[{"type": "text", "text": "b?"}], "t?"]
    rows = [{"prompt": [{"role": "user", "content": content}], "extra": [1, 2]} for content in asked] * 4
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.content if m.content is string else m.content[0].text }}{% endfor %}"
    )
    trainer = trainer_class(PROMPTS)(
        tiny_model(vocabulary=len(tokenizer)),
        reward_funcs=[lambda completions, **kwargs: [float(len(str(each)) % 3) for each in completions]],
        args=GRPOConfig(
            output_dir=str(tmp_path), max_steps=1, per_device_train_batch_size=8, num_generations=4, bf16=False,
            max_completion_length=3, logging_steps=1, use_cpu=True, report_to="none", save_strategy="no",
            log_completions=True, num_completions_to_print=0,
        ),
        train_dataset=IterableDataset.from_generator(lambda: iter(rows)),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    table = pd.read_parquet(tmp_path / "completions" / "completions_00001.parquet")
    assert {prompt[0]["content"][0]["text"] for prompt in table["prompt"]} == {"b?", "t?"}

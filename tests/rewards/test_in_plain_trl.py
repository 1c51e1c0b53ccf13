"""The rewards in `trl.GRPOTrainer`, with nothing of ours around it."""

import pandas as pd
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

import rewards
from rewards.catalog import resolve_reward

ROWS = [{"prompt": "q?\nA. 1\nB. 2\n", "options": ["1", "2"], "answer": 1}] * 4
FILE = """
def letters(completions, bonus=0.0, **kwargs):
    return [bonus + len(set(text)) for text in completions]

def make_steps(scale=1.0):
    def steps(completions, trainer_state, **kwargs):
        return [scale * trainer_state.global_step for _ in completions]
    return steps
"""


def train(model, funcs, folder):
    config = GRPOConfig(
        output_dir=str(folder / "run"), max_steps=1, per_device_train_batch_size=4, num_generations=4,
        max_completion_length=4, logging_steps=1, log_completions=True, num_completions_to_print=0, use_cpu=True,
        bf16=False, report_to="none", save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = GRPOTrainer(model=str(model), reward_funcs=funcs, args=config, train_dataset=Dataset.from_list(ROWS))
    trainer.train()
    return next(line for line in trainer.state.log_history if "reward" in line)


def test_rewards_by_name_file_and_object_are_trl_rewards(tiny_model_folder, tmp_path):
    (tmp_path / "own.py").write_text(FILE)
    funcs = [
        rewards.accuracy,
        resolve_reward("format"),
        resolve_reward("length", {"max_length": 2, "margin": 1}),
        resolve_reward("own.py:letters", {"bonus": 100.0}, base_dir=tmp_path),
        resolve_reward("own.py:make_steps", {"scale": 2.0}, base_dir=tmp_path),
    ]
    line = train(tiny_model_folder, funcs, tmp_path)
    names = ["accuracy", "format", "length", "letters", "steps"]
    means = {name: line[f"rewards/{name}/mean"] for name in names}
    assert (means["accuracy"], means["steps"]) == (0.0, 0.0)
    assert means["length"] == -1.0, "four tokens, two allowed"
    assert means["letters"] > 100
    (table,) = (tmp_path / "run" / "completions").glob("*.parquet")
    assert [name for name in pd.read_parquet(table).columns if name in names] == names


def test_two_rewards_of_one_name_are_mixed(tiny_model_folder, tmp_path):
    """Once they are not, `align.models.rewards.check_names` may go."""
    line = train(tiny_model_folder, [rewards.Length(2), rewards.Length(100)], tmp_path)
    assert line["rewards/length/mean"] == -0.5, "the mean of -1 and 0"
    (table,) = (tmp_path / "run" / "completions").glob("*.parquet")
    assert pd.read_parquet(table)["length"].tolist() == [0.0] * 4, "the second one only"

import time

import torch
from datasets import Dataset
from some_recipes import QUESTIONS, trainer_class
from tiny import tiny_model, tiny_tokenizer
from transformers import TrainerCallback
from trl import GRPOTrainer

from align.methods import METHODS
from align.training.callbacks import PhaseTimer
from rewards import AnswerConsistency, render_options

SECOND_PASS = trainer_class(QUESTIONS)
TOKENIZER = tiny_tokenizer()
OPTIONS = ["10", "20", "30", "40"]


def render(question, options):
    return f"{question}\n{render_options(options)}\n"


def by_length(completions, **kwargs):
    return [float(len(completion) % 3) for completion in completions]


def make_trainer(folder, reward_funcs, *, trainer=SECOND_PASS, **settings):
    config = METHODS[QUESTIONS].config_class()(
        output_dir=str(folder), per_device_train_batch_size=8, num_generations=4, max_completion_length=4,
        logging_steps=1, bf16=False, use_cpu=True, report_to="none", save_strategy="no", disable_tqdm=True, **settings,
    )  # fmt: skip
    rows = [
        {"prompt": render(f"q{i}?", OPTIONS), "question": f"q{i}?", "options": OPTIONS, "answer": i % 4}
        for i in range(8)
    ]
    extra = {"render_prompt": render} if trainer is SECOND_PASS else {}
    return trainer(
        tiny_model(vocabulary=len(TOKENIZER)), reward_funcs=reward_funcs, args=config, processing_class=TOKENIZER,
        train_dataset=Dataset.from_list(rows), **extra,
    )  # fmt: skip


class Clock(TrainerCallback):
    """Measures the time between the ends of steps on its own."""

    def __init__(self):
        self.ends = []

    def on_train_begin(self, *args, **kwargs):
        self.ends.append(time.perf_counter())

    on_step_end = on_train_begin


def slow(completions, **kwargs):
    time.sleep(0.05)
    return by_length(completions)


def train(trainer):
    before, after = Clock(), Clock()
    for callback in (before, PhaseTimer(trainer), after):
        trainer.add_callback(callback)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    least = [end - start for start, end in zip(after.ends, before.ends[1:], strict=False)]
    most = [end - start for start, end in zip(before.ends, after.ends[1:], strict=False)]
    return logs, list(zip(least, most, strict=True))


def phases(entry):
    return {key.removeprefix("time/"): value for key, value in entry.items() if key.startswith("time/")}


def test_phases_add_up_to_the_step_and_find_a_slow_reward(tmp_path):
    trainer = make_trainer(tmp_path, [slow], trainer=GRPOTrainer, max_steps=3, gradient_accumulation_steps=2)
    logs, steps = train(trainer)
    assert [set(phases(entry)) for entry in logs] == [{"generate", "rewards", "log_probs", "update", "rest"}] * 3
    assert all(value > 0 for entry in logs for value in phases(entry).values()), "a hook of TRL has another name"
    assert len(steps) == 3
    for entry, (least, most) in zip(logs, steps, strict=True):
        assert least <= sum(phases(entry).values()) + 1e-6 <= most + 2e-6
    assert all(phases(entry)["rewards"] >= 0.05 for entry in logs)


def test_a_second_pass_is_a_phase_and_not_part_of_the_rewards(tmp_path):
    logs, _ = train(make_trainer(tmp_path, [AnswerConsistency(), by_length], max_steps=2))
    assert "second_pass" in phases(logs[0])
    assert logs[0]["time/rewards"] + logs[0]["time/second_pass"] < logs[0]["step_time"]


def test_timing_changes_no_weight(tmp_path):
    def weights(timed):
        torch.manual_seed(0)
        trainer = make_trainer(tmp_path, [by_length], max_steps=2)
        if timed:
            trainer.add_callback(PhaseTimer(trainer))
        trainer.train()
        return trainer.model.state_dict()

    plain, timed = weights(False), weights(True)
    assert all(torch.equal(plain[name], timed[name]) for name in plain)

"""Prompts without spread give way to further ones: the same in a run that goes on, and nothing differs with 0."""

import pytest
import torch
from datasets import Dataset
from tiny import tiny_model, tiny_tokenizer

from align.checks.launch import Launch
from align.errors import UserError
from align.experimental.resampling.config import KEY, batch_problem
from align.experimental.resampling.parts import check_rows
from align.experimental.resampling.trainer import (
    ResamplingACREConfig,
    ResamplingACRETrainer,
    ResamplingGRPOConfig,
    ResamplingGRPOTrainer,
    put_rows,
)
from align.methods.grpo.config import GRPOConfig
from align.methods.grpo.trainer import GuardedGRPOTrainer
from align.recipe.recipe import parse_recipe
from rewards import AnswerConsistency

TOKENIZER = tiny_tokenizer()
SETTINGS = {
    "per_device_train_batch_size": 4, "gradient_accumulation_steps": 4, "num_generations": 4, "max_steps": 4,
    "max_completion_length": 12, "learning_rate": 0.05, "optim": "sgd", "lr_scheduler_type": "constant",
    "logging_steps": 1, "bf16": False, "use_cpu": True, "report_to": "none", "save_strategy": "no",
    "disable_tqdm": True, "gradient_checkpointing": False,
}  # fmt: skip


class Paid:
    """Pays the same for all completions of a prompt with `many`; keeps the prompts of every call."""

    __name__ = "paid"

    def __init__(self):
        self.calls = []

    def __call__(self, prompts, completions, trainer_state, **kwargs):
        self.calls.append((trainer_state.global_step, prompts[::4]))
        pairs = zip(prompts, completions, strict=True)
        return [1.0 if "many" in prompt else float(sum(map(ord, text)) % 7) for prompt, text in pairs]


def rows(flat=2):
    """Twenty-four prompts, of which all but every `flat + 1`th are without spread."""
    return [{"prompt": f"Ann has {'many ' * (i % (flat + 1))}{i}. Who?"} for i in range(24)]


def make_trainer(folder, flat=2, kind=(ResamplingGRPOTrainer, ResamplingGRPOConfig), data=None, **settings):
    torch.manual_seed(0)
    reward = Paid()
    trainer = kind[0](
        tiny_model(vocabulary=len(TOKENIZER)),
        reward_funcs=[reward],
        args=kind[1](**SETTINGS | {"output_dir": str(folder)} | settings),
        train_dataset=data or Dataset.from_list(rows(flat)),
        processing_class=TOKENIZER,
    )
    return trainer, reward


def weights(trainer):
    return torch.cat([weight.detach().flatten() for weight in trainer.model.parameters()])


def numbers(log):
    return {name.rpartition("_")[2]: log[name] for name in log if name.startswith("rollouts/resampled_")}


def test_with_zero_it_is_its_parent(tmp_path):
    """On the same seed, rows and reward, to the last bit, and in what is logged."""
    found = []
    for kind in ((GuardedGRPOTrainer, GRPOConfig), (ResamplingGRPOTrainer, ResamplingGRPOConfig)):
        trainer, _ = make_trainer(tmp_path, kind=kind, max_steps=2)
        trainer.train()
        found.append((weights(trainer), [log.keys() for log in trainer.state.log_history]))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_prompts_without_spread_are_replaced_within_the_budget(tmp_path):
    trainer, reward = make_trainer(tmp_path, **{KEY: 24}, max_steps=2)
    plain, _ = make_trainer(tmp_path, max_steps=1)
    for each in (trainer, plain):
        torch.manual_seed(1)
        each.train()
    logs, before = ([log for log in each.state.log_history if "reward" in log] for each in (trainer, plain))
    assert len(logs) == 2
    for step, log in enumerate(logs):
        drawn = [prompts for when, prompts in reward.calls if when == step]
        asked = [prompt for prompts in drawn[1:] for prompt in prompts]
        found = numbers(log)
        assert len(set(asked)) == len(asked) == found["prompts"] <= 24
        assert found["rounds"] == len(drawn) - 1
        assert found["away"] == 4 * len(asked)
        assert 0 < found["filled"] == sum("many" in prompt for prompt in drawn[0]) - found["left"]
        assert log["frac_reward_zero_std"] == pytest.approx(sum("many" in prompt for prompt in drawn[0]) / 4)
        assert not any(name.startswith("resampled/resampled/") for name in log)
    first = logs[0]
    for name in ("reward", "reward_std", "completions/mean_length", "frac_reward_zero_std"):  # of the first draw
        assert first[name] == before[0][name]
    assert first["num_tokens"] - before[0]["num_tokens"] == numbers(first)["tokens"] > 0
    assert [numbers(log)["left"] for log in logs] == [0, 0]


def test_a_budget_that_is_spent_leaves_the_rest(tmp_path):
    trainer, _ = make_trainer(tmp_path, flat=11, **{KEY: 3}, logging_steps=2)
    trainer.train()
    logs = [log for log in trainer.state.log_history if "reward" in log]
    assert len(logs) == 2
    assert all(numbers(log)["prompts"] == 3 for log in logs)
    assert any(numbers(log)["left"] > 0 for log in logs)
    assert not any(name.startswith("resampled/resampled/") for log in logs for name in log)


@pytest.mark.by_day("{}")
@pytest.mark.parametrize("settings", [{}, {"num_iterations": 2, "max_steps": 8}, {"steps_per_generation": 2}], ids=str)
def test_a_run_that_goes_on_ends_as_one_that_was_not_cut(tmp_path, settings):
    settings = {KEY: 6, "save_strategy": "steps", "save_steps": 2, **settings}
    whole, asked = make_trainer(tmp_path, **settings)
    whole.train()
    again, asked_again = make_trainer(tmp_path, **settings)
    again.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert torch.equal(weights(whole), weights(again))
    assert [call for call in asked.calls if call[0] >= 2] == asked_again.calls
    assert any(len(prompts) < 4 for _, prompts in asked_again.calls)


def test_what_is_trained_on_has_spread_and_the_table_is_of_the_first_draw(tmp_path):
    trainer, _ = make_trainer(tmp_path, **{KEY: 24}, skip_without_advantage="off")
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 4
    trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    batches = trainer._buffered_inputs
    tokens = sum(int(batch["completion_mask"].sum()) for batch in batches)
    assert [int(batch["num_items_in_batch"]) for batch in batches] == [tokens] * 4
    table = trainer._logs
    assert len(table["prompt"]) == len(table["rewards"]["paid"]) == 16
    assert any("many" in prompt for prompt in table["prompt"])
    own = trainer._tokenizer.batch_decode(
        torch.cat([each["prompt_ids"] for each in batches]), skip_special_tokens=True
    )
    assert not any("many" in prompt for prompt in own)


def batch_of(width, value):
    """Two groups of two rows, prompts and completions of one length."""
    ids = torch.full((4, width), value)
    made = {name: ids.clone() for name in ("prompt_ids", "completion_ids")}
    made |= {name: torch.ones_like(ids) for name in ("prompt_mask", "completion_mask", "tool_mask")}
    return made | {"advantages": torch.full((4,), value / 2)}


@pytest.mark.parametrize(("width", "further"), [(2, 3), (3, 2)])
def test_rows_are_padded_on_their_own_side(width, further):
    batch = batch_of(width, 5)
    put_rows(batch, batch_of(further, 7), [1], [0], 2, 9)
    short, value = (0, 5) if width < further else (2, 7)
    assert batch["prompt_ids"][short].tolist() == [9, value, value]
    assert batch["prompt_mask"][short].tolist() == [0, 1, 1]
    assert batch["completion_ids"][short].tolist() == [value, value, 9]
    assert batch["completion_mask"][short].tolist() == [1, 1, 0]
    assert batch["tool_mask"][short].tolist() == [1, 1, 1]
    assert batch["completion_ids"][2 - short].tolist() == [12 - value] * 3
    assert batch["advantages"].tolist() == [2.5, 2.5, 3.5, 3.5]


def render(question, options):
    return f"{question} {' '.join(options)}"


def test_acre_asks_further_questions_with_its_second_answers(tmp_path):
    """All answers that cannot be read earn the same, so that no group has spread and the budget is spent."""
    questions = [{"question": f"Which {i}?", "options": ["red", "blue"], "answer": i % 2} for i in range(16)]
    data = Dataset.from_list([row | {"prompt": render(row["question"], row["options"])} for row in questions])
    settings = SETTINGS | {"output_dir": str(tmp_path), "max_steps": 1, "gradient_accumulation_steps": 2}
    trainer = ResamplingACRETrainer(
        tiny_model(vocabulary=len(TOKENIZER)), reward_funcs=[AnswerConsistency(1.0, 0.0, 0.0)],
        args=ResamplingACREConfig(**settings, **{KEY: 5}), train_dataset=data, processing_class=TOKENIZER,
        render_prompt=render, shuffle_seed=0,
    )  # fmt: skip
    trainer.train()
    log = trainer.state.log_history[0]
    assert numbers(log) == {
        "rounds": 3,
        "prompts": 5,
        "filled": 0,
        "left": 2,
        "away": 20,
        "tokens": numbers(log)["tokens"],
    }
    assert {"acre/no_answer", "resampled/acre/no_answer"} <= log.keys()


def test_what_cannot_be_put_together_is_refused(tmp_path):
    assert "Set it to 4 or more, or set `resample_without_spread: 0`" in batch_problem(3, 8, 4, 4)
    assert "which `num_generations` = 4 does not divide" in batch_problem(8, 6, 4, 2)
    assert batch_problem(8, 8, 4, 2) is None
    stream = Dataset.from_list(rows()).to_iterable_dataset()
    with pytest.raises(UserError, match="which a stream cannot give"):
        make_trainer(tmp_path, data=stream, **{KEY: 4})
    images = Dataset.from_list([row | {"image": "a.png"} for row in rows()])
    with pytest.raises(UserError, match="rows have images"):
        make_trainer(tmp_path, data=images, **{KEY: 4})
    with pytest.raises(ValueError, match="with `scale_rewards: batch` advantages depend on"):
        ResamplingGRPOConfig(str(tmp_path), bf16=False, use_cpu=True, scale_rewards="batch", **{KEY: 4})
    with pytest.raises(ValueError, match="must be at least 0, got -1"):
        ResamplingGRPOConfig(str(tmp_path), bf16=False, use_cpu=True, **{KEY: -1})


@pytest.mark.parametrize(
    ("settings", "processes", "text"),
    [
        ({}, 1, None),
        ({"num_generations": 4, "per_device_train_batch_size": 2}, 2, "a process generates 2 at once"),
        ({}, 9, "at least their number, 9. Set it to 9 or more"),
    ],
    ids=str,
)
def test_a_batch_is_checked_before_a_model_is_loaded(tmp_path, settings, processes, text):
    batch = {"num_generations": 4, "per_device_train_batch_size": 4, "gradient_accumulation_steps": 1}
    content = {
        "method": "grpo",
        "model_name_or_path": "x",
        "dataset": {"path": "x.jsonl"},
        "reward_funcs": ["accuracy"],
    }
    recipe = parse_recipe({**content, **batch, **settings, KEY: 8}, tmp_path / "r.yaml")
    found = recipe.record.part("check_batch")(recipe, Launch(num_processes=processes), 64)
    errors = [each.text for each in found if each.level == "error"]
    assert len(errors) == (text is not None)
    assert all(text in each for each in errors)


@pytest.mark.parametrize(
    ("dataset", "row", "text"),
    [
        ({"perturb": ["whitespace"]}, {}, "rewards have to see several of them"),
        ({}, {"images": ["a.png"]}, "rows have images"),
    ],
    ids=str,
)
def test_rows_that_cannot_be_asked_beside_a_batch_are_named(tmp_path, dataset, row, text):
    content = {"method": "grpo", "model_name_or_path": "x", "reward_funcs": ["accuracy"], KEY: 8}
    recipe = parse_recipe({**content, "dataset": {"path": "x.jsonl", **dataset}}, tmp_path / "r.yaml")
    (found,) = check_rows(recipe, [row])
    assert found.level == "error"
    assert text in found.text
    assert check_rows(parse_recipe({**content, "dataset": {"path": "x.jsonl"}}, tmp_path / "r.yaml"), [{}]) == []

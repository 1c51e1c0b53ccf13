"""A real trainer that meets what is no number, in its rows, its gradients and its weights."""

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from line_trainer import line_trainer
from safetensors.torch import load_file, save_file
from transformers import TrainerCallback

from align.errors import RunFolderError
from align.runs.checkpoints import write_manifest
from align.training.callbacks import MetricsFile
from align.training.finite_steps import FiniteSteps

FACTS = {"step": 0, "max_steps": 10, "epoch": 0.0, "processes": 1, "sharding": "none", "resumable": True}


class Noted(TrainerCallback):
    """Notes a checkpoint as whole, as a run does."""

    def on_save(self, args, state, control, **kwargs):
        write_manifest(Path(args.output_dir) / f"checkpoint-{state.global_step}", FACTS | {"step": state.global_step})


class Spoils(TrainerCallback):
    """Makes a weight infinite in an update, as one that is too long does."""

    def __init__(self, trainer, step):
        self._trainer, self._step = trainer, step

    def on_optimizer_step(self, args, state, control, **kwargs):
        if state.global_step + 1 == self._step:
            self._trainer.model.weight.data.fill_(math.inf)


@pytest.fixture
def ended(tmp_path):
    def train(change=None, bad=None, **settings):
        trainer = line_trainer(tmp_path, **{"save_steps": 1, "logging_steps": 1, "max_steps": 5} | settings)
        trainer.get_train_dataloader = lambda: rows(bad)
        trainer.add_callback(FiniteSteps(trainer, tmp_path))
        trainer.add_callback(Noted())
        trainer.add_callback(MetricsFile(tmp_path / "metrics.jsonl"))
        if change is not None:
            change(trainer)
        with pytest.raises(RunFolderError) as caught:
            trainer.train()
        lines = (tmp_path / "metrics.jsonl").read_text().splitlines() if (tmp_path / "metrics.jsonl").exists() else []
        assert all(math.isfinite(value) for line in lines for value in json.loads(line).values())
        return str(caught.value), sorted(path.name for path in tmp_path.glob("checkpoint-*"))

    return train


def rows(bad):
    good = {"x": torch.ones(1, 1), "labels": torch.ones(1, 1)}
    return [good | ({} if bad is None or bad[0] != place else {"x": torch.full((1, 1), bad[1])}) for place in range(5)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("clipped", [1.0, 0.0])
def test_a_loss_that_is_no_number_ends_before_its_update(ended, tmp_path, value, clipped):
    said, saved = ended(bad=(2, value), max_grad_norm=clipped)
    assert said.startswith("Step 3: the loss is NaN or infinite, so training ends here. The last good checkpoint is ")
    assert f"{tmp_path / 'checkpoint-2'}: `--resume auto` tries once more from there." in said
    assert saved == ["checkpoint-1", "checkpoint-2"]


def test_one_at_the_first_step_has_nothing_to_go_on_from(ended):
    said, saved = ended(bad=(0, math.nan))
    assert "Step 1: the loss" in said
    assert "checkpoint" not in said
    assert "`--output_dir` and `--learning_rate 0.01`" in said
    assert saved == []


def test_a_loss_between_two_logs_is_not_averaged_away(ended):
    assert "Step 3: the loss" in ended(bad=(2, math.nan), logging_steps=5)[0]


def test_a_loss_of_one_part_of_a_step_ends_it(ended):
    assert "Step 1: the loss" in ended(bad=(0, math.nan), gradient_accumulation_steps=2)[0]


def explodes(trainer):
    trainer.model.weight.register_hook(lambda gradient: gradient * math.inf)


def test_a_gradient_ends_it_too(ended):
    said, saved = ended(explodes)
    assert said.startswith("Step 1: the gradient is NaN or infinite")
    assert saved == []


def test_a_gradient_that_a_scaler_skips_ends_nothing(tmp_path):
    trainer = line_trainer(tmp_path, save_strategy="no")
    steps = FiniteSteps(trainer, tmp_path)
    steps._norm, trainer._tr_loss = torch.tensor(math.inf), torch.tensor(0.5)
    state = SimpleNamespace(global_step=0)
    with pytest.raises(RunFolderError):
        steps.on_pre_optimizer_step(trainer.args, state, None)
    trainer.accelerator.state._mixed_precision = "fp16"  # which needs an accelerator
    try:
        steps.on_pre_optimizer_step(trainer.args, state, None)
        trainer._tr_loss = torch.tensor(math.nan)
        with pytest.raises(RunFolderError, match="the loss"):
            steps.on_pre_optimizer_step(trainer.args, state, None)
    finally:
        trainer.accelerator.state._mixed_precision = "no"


@pytest.mark.parametrize("step", [3, 5])
def test_weights_that_an_update_spoils_are_not_saved(ended, step):
    said, saved = ended(lambda trainer: trainer.add_callback(Spoils(trainer, step)))
    assert said.startswith(f"Step {step}: weights became NaN or infinite")
    assert saved == [f"checkpoint-{number}" for number in range(1, step)]


def test_the_last_step_is_looked_at_without_a_save(ended):
    assert "Step 5: weights" in ended(lambda each: each.add_callback(Spoils(each, 5)), save_strategy="no")[0]


def test_a_checkpoint_that_holds_nan_is_not_the_good_one(ended, tmp_path):
    class Overwrites(TrainerCallback):
        def on_save(self, args, state, control, **kwargs):
            if state.global_step == 2:
                file = tmp_path / "checkpoint-2" / "model.safetensors"
                save_file({name: each * math.nan for name, each in load_file(file).items()}, file)

    said, _ = ended(lambda trainer: trainer.callback_handler.callbacks.insert(0, Overwrites()), bad=(2, math.nan))
    assert f"is {tmp_path / 'checkpoint-1'}: `--resume {tmp_path / 'checkpoint-1'}` tries" in said


def test_a_run_without_such_steps_is_what_it_was(tmp_path):
    histories = []
    for name, is_watched in (("with", True), ("without", False)):
        trainer = line_trainer(tmp_path / name, logging_steps=1)
        if is_watched:
            trainer.add_callback(FiniteSteps(trainer, tmp_path / name))
        trainer.train()
        histories.append([(each.get("loss"), each.get("grad_norm")) for each in trainer.state.log_history])
    assert histories[0] == histories[1]

"""A real trainer that is killed in the evaluation after a pass, and goes on."""

import inspect

import line_trainer as lines
import pytest
import torch
import transformers
from transformers import Trainer, TrainerCallback

from align.training.resuming import EndOfPass, Unlogged


class Noisy(lines.Line):
    """Draws noise, also in evaluations, by which random numbers that are lost show."""

    def forward(self, x, labels):
        return {"loss": super().forward(x, labels + 0.1 * torch.rand(1))["loss"]}


class Killed(BaseException):
    pass


class KillAt(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_prediction_step(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


@pytest.fixture
def train(tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "Line", Noisy)

    def run(name, kill_at=None, checkpoint=None, **settings):
        passes = {"save_steps": 5, "eval_strategy": "epoch", "logging_strategy": "epoch"}
        trainer = lines.line_trainer(tmp_path / name, **passes | settings)
        trainer.add_callback(Unlogged(trainer))
        trainer.add_callback(KillAt(kill_at))
        checkpoint = checkpoint and tmp_path / name / f"checkpoint-{checkpoint}"
        trainer.add_callback(EndOfPass(trainer, checkpoint))
        trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        return trainer

    return run


def told(trainer):
    """Lists what a run has logged that does not depend on how fast it was."""
    kept = ("step", "loss", "eval_loss", "train_loss")
    return [{name: entry[name] for name in kept if name in entry} for entry in trainer.state.log_history]


PLATEAU = {
    "lr_scheduler_type": "reduce_lr_on_plateau",
    "lr_scheduler_kwargs": {"patience": 0, "threshold": 0.99},
    "num_train_epochs": 3,
}
WITHIN_A_PASS = {"max_steps": 8, "save_steps": 4}


@pytest.mark.by_day("5-settings1", "8-settings3")
@pytest.mark.parametrize(("step", "settings"), [(5, {}), (5, PLATEAU), (10, {}), (8, WITHIN_A_PASS)])
def test_a_run_that_is_killed_in_an_evaluation_makes_up_for_it(train, step, settings):
    settings = {"metric_for_best_model": "loss", "greater_is_better": False} | settings
    whole = train("whole", **settings)
    with pytest.raises(Killed):
        train("killed", kill_at=step, **settings)
    gone_on = train("killed", checkpoint=step, **settings)
    assert told(gone_on) == told(whole)
    assert torch.equal(gone_on.model.weight, whole.model.weight)
    assert gone_on.state.global_step == whole.state.max_steps
    assert gone_on.state.best_metric == whole.state.best_metric


def test_an_evaluation_that_a_checkpoint_holds_is_not_made_again(train, tmp_path):
    whole = train("whole", save_strategy="epoch")
    assert told(train("whole", checkpoint=5, save_strategy="epoch")) == told(whole)
    assert len(told(whole)) == 5  # a loss and an evaluation after each pass, and the end


@pytest.mark.parametrize(
    ("name", "given"),
    [
        (
            "_maybe_log_save_evaluate",
            "tr_loss grad_norm model trial epoch ignore_keys_for_eval start_time learning_rate",
        ),
        ("_load_rng_state", "checkpoint"),
        ("_evaluate", "trial ignore_keys_for_eval skip_scheduler"),
        ("_determine_best_metric", "metrics trial"),
    ],
)
def test_transformers_still_does_what_is_due_after_a_pass_in_these(name, given):
    found = list(inspect.signature(getattr(Trainer, name)).parameters)
    assert found == ["self", *given.split()], (
        f"transformers {transformers.__version__} changed Trainer.{name}{found}; read it again, then "
        "align/training/callbacks.py."
    )


def test_transformers_still_makes_each_pass_in_one_call_that_it_looks_up_on_the_trainer():
    assert "self._run_epoch(" in inspect.getsource(Trainer._inner_training_loop), (
        f"transformers {transformers.__version__} makes passes otherwise; read it again, then "
        "align/training/callbacks.py."
    )

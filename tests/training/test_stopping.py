"""A real trainer that is asked to stop while it trains."""

import os
import signal
import time

import pytest
from line_trainer import line_trainer
from transformers import TrainerCallback

from align.training.resuming import EarlyEnd


class SignalAt(TrainerCallback):
    def __init__(self, step, *numbers):
        self.step, self.numbers = step, numbers

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step + 1 == self.step:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.fixture
def interruptible():
    """Takes Ctrl-C as on a terminal, where tests may run in a shell's background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stopped(tmp_path):
    """Trains up to ten steps, five a pass, and stops at one of them."""

    def train(step, number=signal.SIGTERM, **settings):
        early = EarlyEnd(None)
        trainer = line_trainer(tmp_path, **settings)
        trainer.add_callback(SignalAt(step, number))
        trainer.add_callback(early)
        with early:
            trainer.train()
        assert early.reason == number.name
        assert trainer.state.global_step == step
        evaluated = [entry["step"] for entry in trainer.state.log_history if "eval_loss" in entry]
        return sorted(path.name for path in tmp_path.glob("checkpoint-*")), evaluated

    return train


def test_a_stop_saves_also_where_only_the_best_is_saved(stopped):
    best = {"save_strategy": "best", "metric_for_best_model": "loss", "greater_is_better": True}  # it only falls
    saved, evaluated = stopped(3, eval_strategy="steps", eval_steps=1, **best)
    assert saved == ["checkpoint-1", "checkpoint-3"]
    assert evaluated == [1, 2, 3]


@pytest.mark.by_day("5-evaluations1", "8-evaluations2")
@pytest.mark.parametrize(("step", "evaluations"), [(3, []), (5, []), (8, [5])])
def test_a_stop_leaves_what_is_due_after_a_pass_to_the_run_that_goes_on(stopped, step, evaluations):
    saved, evaluated = stopped(step, eval_strategy="epoch", save_strategy="epoch")
    assert saved == sorted({f"checkpoint-{each}" for each in (*evaluations, step)})
    assert evaluated == evaluations


def test_a_session_that_is_gone_saves_as_an_end_does(stopped):
    assert stopped(3, signal.SIGHUP)[0] == ["checkpoint-3"]
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_saves_too_and_one_that_a_launcher_hands_on_is_the_same(tmp_path, capfd):
    early, trainer = EarlyEnd(None), line_trainer(tmp_path)
    trainer.add_callback(SignalAt(3, signal.SIGINT, signal.SIGINT))
    trainer.add_callback(early)
    with early:
        trainer.train()
    assert (early.reason, trainer.state.global_step) == ("Ctrl-C", 3)
    assert (tmp_path / "checkpoint-3").is_dir()
    assert capfd.readouterr().err.count("Ctrl-C: the run saves and stops after this step. Once more ends it at") == 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_a_second_ctrl_c_ends_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("align.training.resuming._SAME", -1.0)
    early, trainer = EarlyEnd(None), line_trainer(tmp_path)
    trainer.add_callback(SignalAt(3, signal.SIGINT, signal.SIGINT))
    trainer.add_callback(early)
    with pytest.raises(KeyboardInterrupt), early:
        trainer.train()
    assert trainer.state.global_step == 2


def test_ctrl_c_stays_ignored_in_the_background():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with EarlyEnd(None):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


class Slow(TrainerCallback):
    """Has an event take a second, on a clock of its own: a busy machine changes nothing."""

    def __init__(self, event):
        self.now = 0.0
        setattr(self, event, self.wait)

    def monotonic(self):
        return self.now

    def wait(self, *args, **kwargs):
        self.now += 1


@pytest.mark.by_day("on_save-settings1")
@pytest.mark.parametrize(
    ("event", "settings"),
    [
        ("on_prediction_step", {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "no"}),
        ("on_save", {"save_steps": 1}),
    ],
)
def test_an_evaluation_and_what_callbacks_do_for_a_save_take_time_before_the_limit(
    event, settings, tmp_path, monkeypatch
):
    trainer, early, slow = line_trainer(tmp_path, **settings), EarlyEnd(4), Slow(event)
    monkeypatch.setattr("align.training.resuming.time", slow)
    early._started = 0.0
    trainer.add_callback(early)
    trainer.add_callback(slow)
    trainer.train()
    assert early.reason == "the time limit of 4 s is near"
    assert slow.now == 3  # two that were seen, and one that had room


def test_a_clock_that_is_set_back_moves_no_limit(monkeypatch):
    early, now = EarlyEnd(3600), time.time()
    assert not early._is_late()
    early._started -= 3600  # an hour passes
    monkeypatch.setattr(time, "time", lambda: now - 7200)  # a test cannot set the clock
    assert early._is_late()

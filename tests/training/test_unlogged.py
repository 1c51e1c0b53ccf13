"""A run that goes on logs what one that was never stopped logs, wherever it was saved."""

import pytest
from some_recipes import OUTCOMES, PAIRS

from align.assets import find_recipe
from align.methods import METHODS
from align.recipe.recipe import load_recipe
from align.training.build import build_trainer
from align.training.resuming import Unlogged

WORDS = ["--max_steps", "7", "--logging_steps", "3", "--save_strategy", "steps", "--save_steps", "2"]
WORDS += ["--dataset.max_rows", "60", "--dataset.max_eval_rows", "4", "--use_cpu", "true"]
WORDS += ["--per_device_train_batch_size", "4"]
WORDS += ["--eval_strategy", "no"]
BEST = ["--save_strategy", "best", "--eval_strategy", "steps", "--eval_steps", "2"]
BEST += ["--metric_for_best_model", "eval_loss"]


def is_timed(name):
    return "runtime" in name or "per_second" in name


def logged(folder, method, *words, keeps=True, resume=None):
    """Trains, and returns the log without what tells times."""
    recipe = load_recipe(find_recipe(f"{method}/quickstart"), [*WORDS, *words, "--output_dir", str(folder)])
    trainer = build_trainer(recipe, METHODS[method].part("load")(recipe), [])
    if keeps:
        trainer.add_callback(Unlogged(trainer))
    trainer.train(resume_from_checkpoint=resume and str(resume))
    return [{name: value for name, value in each.items() if not is_timed(name)} for each in trainer.state.log_history]


def steps_saved(folder):
    return sorted(int(path.name.rpartition("-")[2]) for path in folder.glob("checkpoint-*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run that was never stopped, and its log."""
    folder = tmp_path_factory.mktemp("whole")
    log = logged(folder, PAIRS, "--save_total_limit", "9")
    assert [line["step"] for line in log] == [3, 6, 7]
    assert steps_saved(folder) == [2, 4, 6, 7]
    return folder, log


@pytest.mark.by_day("4")
@pytest.mark.parametrize("step", [2, 4, 6])  # before a log, between two, and with one
def test_a_run_that_goes_on_between_two_logs_ends_with_the_same_log(step, whole, tmp_path):
    folder, log = whole
    assert logged(tmp_path, PAIRS, resume=folder / f"checkpoint-{step}") == log


@pytest.mark.slow
@pytest.mark.nightly  # the trainer of pairs above
def test_so_does_one_of_another_trainer(tmp_path):
    words = ["--dataset.max_rows", "200"]  # of enough authors for a fit
    log = logged(tmp_path, OUTCOMES, *words, "--save_total_limit", "9")
    assert logged(tmp_path, OUTCOMES, *words, resume=tmp_path / "checkpoint-4") == log


@pytest.mark.slow
@pytest.mark.nightly  # that the callback is needed
def test_without_it_the_log_is_another(whole, tmp_path):
    folder, log = whole
    again = logged(tmp_path, PAIRS, keeps=False, resume=folder / "checkpoint-4")
    assert again[1]["loss"] != log[1]["loss"]
    assert again[-1]["train_loss"] != pytest.approx(log[-1]["train_loss"], rel=0.1)


@pytest.mark.slow
@pytest.mark.nightly  # saves by step above
def test_a_save_that_an_evaluation_decides_about_keeps_it_too(tmp_path):
    whole = logged(tmp_path / "run", PAIRS, *BEST, "--save_total_limit", "9")
    first = steps_saved(tmp_path / "run")[0]
    assert first % 3
    assert logged(tmp_path / "run", PAIRS, *BEST, resume=tmp_path / "run" / f"checkpoint-{first}") == whole

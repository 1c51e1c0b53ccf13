"""A real trainer whose checkpoints are there whole or not at all."""

import os
import shutil
import time
from pathlib import Path

import pytest
from line_trainer import line_trainer
from safetensors.torch import load_file

from align.errors import RunFolderError
from align.runs.checkpoints import damage, list_checkpoints
from align.training.resuming import WholeCheckpoints


def trained(folder, expected=0, resume=None, **settings):
    trainer = line_trainer(folder, **settings)
    trainer.add_callback(WholeCheckpoints(trainer, folder, expected, "none"))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def test_a_run_that_goes_on_saves_and_logs_as_often_as_it_is_told_now(tmp_path):
    trained(tmp_path, save_steps=3, logging_steps=5, max_steps=3)
    trainer = trained(tmp_path, resume=str(tmp_path / "checkpoint-3"), save_steps=4, logging_steps=2)
    assert [path.name for path in list_checkpoints(tmp_path)] == [f"checkpoint-{step}" for step in (10, 8, 4, 3)]
    assert [entry["step"] for entry in trainer.state.log_history if "loss" in entry] == [4, 6, 8, 10]


@pytest.mark.parametrize(("strategy", "step"), [("steps", 3), ("epoch", 5)])
def test_a_checkpoint_that_would_not_fit_is_not_begun(tmp_path, strategy, step):
    with pytest.raises(RunFolderError, match=f"checkpoint-{step} takes about"):
        trained(tmp_path, expected=2**60, save_strategy=strategy, save_steps=3)
    assert list_checkpoints(tmp_path) == []


def test_the_limit_is_kept_and_the_best_with_it(tmp_path):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}
    trained(tmp_path, save_total_limit=1, save_steps=2, eval_strategy="steps", eval_steps=2, **best)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-10", "checkpoint-2"]
    assert [damage(path) for path in list_checkpoints(tmp_path)] == [None, None]


def test_a_clock_that_was_set_back_costs_no_newer_checkpoint(tmp_path):
    trained(tmp_path, save_steps=2, max_steps=2)
    os.utime(tmp_path / "checkpoint-2", (time.time() + 3600,) * 2)
    trained(tmp_path, resume=str(tmp_path / "checkpoint-2"), save_steps=2, max_steps=4, save_total_limit=1)
    assert [path.name for path in list_checkpoints(tmp_path)] == ["checkpoint-4"]


def test_a_run_whose_folder_was_moved_still_ends_with_its_best_model(tmp_path):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}  # it falls
    settings = {"save_strategy": "best", "eval_strategy": "steps", "eval_steps": 1} | best
    trained(tmp_path / "before", max_steps=2, **settings)
    (tmp_path / "before").rename(tmp_path / "after")
    trainer = trained(tmp_path / "after", resume=str(tmp_path / "after" / "checkpoint-1"), **settings)
    assert trainer.state.global_step == 10
    saved = load_file(tmp_path / "after" / "checkpoint-1" / "model.safetensors")
    assert trainer.model.weight.equal(saved["weight"])


def test_a_run_whose_best_checkpoint_is_gone_says_so_and_ends_with_the_best_of_the_others(tmp_path, capsys):
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss", "greater_is_better": True}  # it falls
    settings = {"save_steps": 2, "eval_strategy": "steps", "eval_steps": 2} | best
    trained(tmp_path / "before", max_steps=4, **settings)
    (tmp_path / "before" / "checkpoint-4").rename(tmp_path / "checkpoint-4")
    shutil.rmtree(tmp_path / "before")
    trainer = trained(tmp_path / "after", resume=str(tmp_path / "checkpoint-4"), **settings)
    said = capsys.readouterr().err.replace("\n", " ")
    assert "checkpoint-2, is gone. The best is now looked for after step 4." in said
    saved = load_file(tmp_path / "after" / "checkpoint-6" / "model.safetensors")
    assert trainer.model.weight.equal(saved["weight"])


def test_a_checkpoint_is_on_the_disk_before_an_older_one_is_deleted(tmp_path, monkeypatch):
    flush, flushed, older = os.fsync, set(), tmp_path / "checkpoint-2"

    def note(place):
        flush(place)
        if (path := Path(os.readlink(f"/proc/self/fd/{place}"))).is_relative_to(tmp_path) and older.exists():
            flushed.add(path)

    monkeypatch.setattr(os, "fsync", note)
    trained(tmp_path, save_steps=2, max_steps=4, save_total_limit=1)
    checkpoint = tmp_path / "checkpoint-4"
    assert not older.exists()
    assert {*checkpoint.iterdir(), checkpoint, tmp_path} <= flushed

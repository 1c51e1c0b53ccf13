"""`align train --seeds`: one run after another, which go on where they were stopped, and a page over all."""

import json

import pytest

from align.cli import run_command


def test_a_launch_of_several_processes_is_refused(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert run_command("train", "sft/quickstart", "--seeds", "2", "--output_dir", str(tmp_path)) == 1
    assert "lay them together with `align report DIR DIR`" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_runs_of_several_seeds_are_made_once_and_have_one_page(capfd, tmp_path):
    words = ["train", "sft/quickstart", "--max_steps", "2", "--logging_steps", "1", "--seed", "5"]
    words += ["--output_dir", str(tmp_path)]
    assert run_command(*words, "--seeds", "2", "--time_limit", "1ms") == 75
    assert "The time is over before seed-5. The same command goes on." in capfd.readouterr().err
    for times in (1, 2):
        assert run_command(*words, "--seeds", "2") == 0
        said = capfd.readouterr()
        assert f"The page of all 2 runs is {tmp_path / 'seeds.html'}." in said.out
        assert ("holds a finished run" in said.out + said.err) is (times == 2), said
    logs = [(tmp_path / f"seed-{seed}" / "metrics.jsonl").read_text().splitlines() for seed in (5, 6)]
    losses = [[each["loss"] for line in lines if "loss" in (each := json.loads(line))] for lines in logs]
    assert len(losses[0]) == len(losses[1]) == 2
    assert losses[0] != losses[1]
    assert "Mean over seeds" in (tmp_path / "seeds.html").read_text()

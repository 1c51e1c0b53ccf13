"""The lab of GRPO with consistency goes on where it was stopped, and does not mix settings."""

import json

import pytest
from loaded_script import load_script


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.consistency.grpo")


def test_a_seed_that_is_kept_is_not_trained_again(lab, tmp_path, monkeypatch, capsys):
    made = []

    def run_seed(seed, arguments):
        made.append(seed)
        return {arm: dict.fromkeys(lab.METRICS, 0.25 * seed) for arm in lab.ARMS}

    monkeypatch.setattr(lab, "run_seed", run_seed)
    file = tmp_path / "lab.json"
    for seeds in ("1", "3"):
        assert lab.main(["--seeds", seeds, "--json", str(file)]) == 0
    assert made == [0, 1, 2]
    assert sorted(json.loads(file.read_text())["runs"]) == ["0", "1", "2"]
    assert "flip_prefix 0.250 [" in capsys.readouterr().out
    assert lab.main(["--seeds", "1", "--steps", "7", "--json", str(file)]) == 1
    assert "has seeds with other settings" in capsys.readouterr().err
    assert made == [0, 1, 2]


def test_the_reward_pays_for_the_whole_answer(lab):
    assert lab.whole_answer(["a", "a "], ["a", "a"]) == [1.0, 0.0]
    assert lab.nothing(["a", "b"]) == [0.0, 0.0]

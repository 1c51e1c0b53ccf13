"""The lab of rewards that err: errors come as planted, a correction undoes them on average, and an arm trains."""

import json
import random

import numpy as np
import pytest
from loaded_script import load_script

lab = load_script("labs.noise.lab")
TEXTS = ["7", "3", "7!", "3!"]


def pays(arm, seed=0, times=1):
    rng = random.Random(0)
    given = (TEXTS * times, ["ab"] * 4 * times, ["7"] * 4 * times)
    return np.reshape(lab.paid(arm, seed, *given, rng), (times, 4))


@pytest.mark.parametrize(("kind", "marked"), [("drawn", 1), ("marked", 2)])
def test_errors_come_as_often_as_planted_and_are_undone_on_average(kind, marked):
    arm = lab.Arm(0.1, 0.3, kind)
    drawn = pays(arm, times=4000).mean(axis=0)
    alone = 1 if kind == "drawn" else 0
    assert drawn == pytest.approx([1 - 0.3 * alone, 0.1 * alone, 1 - 0.3 * marked, 0.1 * marked], abs=0.03)
    assert pays(arm._replace(corrected=True), times=4000).mean(axis=0) == pytest.approx([1, 0, 1, 0], abs=0.12)


def test_a_fixed_error_is_the_same_each_time_and_differs_between_seeds():
    arm = lab.Arm(0.5, 0.5, "fixed")
    assert np.ptp(pays(arm, times=20), axis=0).max() == 0
    assert len({tuple(pays(arm, seed)[0]) for seed in range(20)}) > 1


def test_an_arm_trains_from_a_start_and_its_numbers_are_kept(tmp_path, monkeypatch):
    monkeypatch.setitem(lab.START, "steps", 3)
    monkeypatch.setitem(lab.SETTINGS, "max_steps", 2)
    monkeypatch.setattr(lab, "ARMS", [lab.Arm(), lab.Arm(0.3, 0.3, beside="large", corrected=True)])
    words = ["--seeds", "1", "--starts_dir", str(tmp_path), "--json", str(tmp_path / "out.json")]
    assert lab.main(words) == 0
    runs = json.loads((tmp_path / "out.json").read_text())["runs"]
    assert {*runs} == {"drawn 0 0", "drawn 0.3 0.3, beside large, corrected"}
    assert all(0 <= runs[arm][0][name] <= 1 for arm in runs for name in ("accuracy", "late", "noise_only"))
    assert runs["drawn 0 0"][0]["noise_only"] == 0

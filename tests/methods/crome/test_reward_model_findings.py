import json

import numpy as np
import pytest
from written_reward_run import reward_lines, write_reward_run

from align.report.run.facts import find_problems
from align.report.run.folder import read_run_folder


def findings(folder, **settings):
    return find_problems(read_run_folder(write_reward_run(folder, steps=40, **settings)))


def with_metrics(folder, steps=40, **columns):
    """Writes a run in which some metrics follow the values given."""
    run = write_reward_run(folder, steps=steps)
    lines = reward_lines(steps)
    for key, values in columns.items():
        for line, value in zip(lines, values, strict=True):
            line[key.replace("__", "/")] = float(value)
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return find_problems(read_run_folder(run))


@pytest.mark.parametrize("model_type", ["scalar", "pairwise"])
def test_a_healthy_run_has_no_findings(tmp_path, model_type):
    assert findings(tmp_path / "run", model_type=model_type) == []


def test_a_margin_of_ties_that_grows_with_the_other_is_decoration_that_is_rewarded(tmp_path):
    (finding,) = findings(tmp_path / "run", tie_margin=1.5)
    assert finding.title == (
        "Tied pairs get a margin of 1.592 [1.589, 1.595; 10 logs], ordered pairs 1.7: the model separates ties more "
        "than it should"
    )
    assert "Raise `tie_coef`" in finding.detail


def test_a_margin_of_ties_that_falls_or_an_order_that_is_not_learnt_is_no_decoration(tmp_path):
    falling = np.linspace(3, 1.5, 40)
    assert with_metrics(tmp_path / "falls", crome__tie_margin=falling) == []
    (finding,) = with_metrics(tmp_path / "rises", crome__tie_margin=falling[::-1])
    assert finding.title.startswith("Tied pairs get")
    at_chance = dict.fromkeys(("accuracy", "crome/accuracy_upgrade", "crome/accuracy_degrade"), 0.5)
    assert findings(tmp_path / "chance", tie_margin=1.5, margin=0.01, **at_chance) == []


def test_a_loss_that_stays_at_log_two_is_found_and_one_that_leaves_it_is_not(tmp_path):
    flat = np.full(40, 0.6931)
    (finding,) = with_metrics(tmp_path / "flat", loss=flat)
    assert finding.title == "The loss stays at log 2: the model scores chosen and rejected answers alike"
    assert with_metrics(tmp_path / "learns", loss=np.linspace(0.6931, 0.5, 40)) == []


@pytest.mark.parametrize(
    ("fixed", "title", "reason"),
    [
        (
            {"crome/accuracy_preference": 0.52},
            "52 % [10 logs] of the preference pairs are told apart, 95 % [94, 95; 10 logs] of the",
            "noise",
        ),
        ({"crome/accuracy_upgrade": 0.4}, "40 % [10 logs] of the upgrade pairs are told apart, 95 % [", "style"),
    ],
)
def test_a_source_near_chance_beside_one_that_is_learnt_is_found(tmp_path, fixed, title, reason):
    (finding,) = findings(tmp_path / "run", **fixed)
    assert title in finding.title
    assert reason in finding.detail


def test_a_source_that_the_last_batches_lack_is_not_judged(tmp_path):
    gone = {"crome/accuracy_preference": float("nan")}
    assert findings(tmp_path / "run", **gone) == []
    (finding,) = findings(tmp_path / "other", **gone, **{"crome/accuracy_upgrade": 0.4})
    assert "40 % [10 logs] of the upgrade pairs" in finding.title


@pytest.mark.parametrize("steps", [40, 7])
def test_rewards_that_wander_further_than_they_lie_apart_are_found_in_all_but_the_shortest_runs(tmp_path, steps):
    found = with_metrics(tmp_path / "run", steps=steps, mean_reward=np.linspace(0, -20, steps))
    assert len(found) == (steps == 40)
    assert all(finding.title.startswith("The mean reward moved from -2.3 to -17.69 [") for finding in found)
    assert all("center_rewards_coefficient: 0.01" in finding.detail for finding in found)


def test_rewards_that_wander_less_than_they_lie_apart_are_no_drift(tmp_path):
    assert with_metrics(tmp_path / "run", mean_reward=np.linspace(0, -4, 40)) == []


def test_a_pairwise_model_that_likes_a_place_is_found_and_not_taken_for_a_drift(tmp_path):
    (finding,) = findings(tmp_path / "run", model_type="pairwise", mean_reward=-1.5)
    assert finding.title.startswith("Answer B is preferred by 1.50 [10 logs] for its place, with a margin of 1.7")
    assert findings(tmp_path / "scalar", mean_reward=-1.5) == []


def test_held_out_pairs_are_compared_with_pairs_of_the_same_kind_by_how_many_there_are(tmp_path):
    held = {"eval_runtime": 2.0, "eval_samples_per_second": 500.0, "eval_crome/accuracy_preference": 0.5}
    (finding,) = findings(tmp_path / "run", **held)
    assert (
        "71 % [70, 72; 10 logs] of the preference pairs are told apart in training, 50 % [47, 53; 1,000 rows] of "
        "held-out ones" in finding.title
    )
    assert findings(tmp_path / "few", **held | {"eval_samples_per_second": 12.0}) == []
    easier = {"eval_crome/accuracy_preference": 0.7, "accuracy": 0.9, "eval_accuracy": 0.76}
    assert findings(tmp_path / "mixed", **held | easier) == []

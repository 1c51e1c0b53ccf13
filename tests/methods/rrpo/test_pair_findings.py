import json

import numpy as np
import pytest
from written_pairs_run import pair_lines, write_pairs_run

from align.report.run.facts import find_problems
from align.report.run.folder import read_run_folder


def findings(folder, **fixed):
    return find_problems(read_run_folder(write_pairs_run(folder, steps=40, **fixed)))


def with_metrics(folder, **columns):
    """Writes a run in which some metrics follow the values given."""
    run = write_pairs_run(folder, steps=40)
    lines = pair_lines(40)
    for key, values in columns.items():
        for line, value in zip(lines, values, strict=True):
            line[key.replace("__", "/")] = float(value)
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return find_problems(read_run_folder(run))


def test_a_healthy_run_on_pairs_has_no_findings(tmp_path):
    assert findings(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("fixed", "title", "remedy"),
    [
        ({"rrpo/logp_change_chosen": -2.3}, "less likely: -2.30 [10 logs] nats", "Raise `kl_coef`"),
        ({"rrpo/kl_chosen_per_token": 0.8}, "0.80 [10 logs] nats per token", "`kl_coef`"),
        ({"rrpo/marked_share": 0.83}, "83 % [10 logs] of response tokens are marked", "close to DPO"),
        ({"rrpo/marked_share": 0.002}, "Only 0.2 % [10 logs] of response tokens", "diff_unit"),
        ({"loss": 0.6925}, "loss stays at log 2", "Raise `learning_rate`"),
        ({"grad_norm": float("nan")}, "grad_norm is not a number", "learning_rate"),
    ],
)
def test_a_problem_planted_among_pairs_is_found_with_its_remedy(tmp_path, fixed, title, remedy):
    (finding,) = findings(tmp_path / "run", **fixed)
    assert title in finding.title
    assert remedy in finding.detail


def test_whole_responses_that_were_asked_for_are_no_finding(tmp_path):
    assert findings(tmp_path / "run", spans="whole", **{"rrpo/marked_share": 1.0}) == []


def test_a_margin_that_grows_after_all_pairs_are_told_apart_is_over_training(tmp_path):
    accuracy = np.minimum(1.0, np.linspace(0.5, 2.5, 40))
    (finding,) = with_metrics(tmp_path / "run", rewards__accuracies=accuracy, rewards__margins=np.linspace(0, 8, 40))
    assert "100 % [10 logs] of pairs were told apart by the middle" in finding.title
    assert "generate" in finding.detail


def test_a_margin_that_has_settled_is_no_over_training(tmp_path):
    settled = np.minimum(4.0, np.linspace(0, 12, 40))
    assert with_metrics(tmp_path / "run", rewards__accuracies=np.ones(40), rewards__margins=settled) == []


def test_an_accuracy_that_saturates_late_is_no_over_training(tmp_path):
    accuracy = np.linspace(0.5, 1.0, 40)
    assert with_metrics(tmp_path / "run", rewards__accuracies=accuracy, rewards__margins=np.linspace(0, 8, 40)) == []


def test_a_run_of_three_steps_is_not_judged_by_its_middle(tmp_path):
    run = write_pairs_run(tmp_path / "run", steps=3, **{"rewards/accuracies": 1.0})
    assert find_problems(read_run_folder(run)) == []

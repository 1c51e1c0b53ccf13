import json
from types import SimpleNamespace

import numpy as np
import pytest
from written_run import metric_lines, write_run

from align.methods.rollouts.findings import SIGNS
from align.report.run.facts import find_problems
from align.report.run.finding import look_at
from align.report.run.folder import Series, read_run_folder


def falls(metrics):
    return look_at(SimpleNamespace(metrics=metrics), SIGNS[-1:])


def series(values):
    return Series(np.arange(1, len(values) + 1), np.asarray(values, dtype=float))


def course(steps, turn, seed=0, noise=0.03):
    """A reward that rises to the end, and an audit that rises with it until the turn and falls from there."""
    rng = np.random.default_rng(seed)
    at = np.arange(steps)
    audit = np.where(at < turn, at, 2 * turn - at) / steps
    return at / steps + noise * rng.normal(size=steps), 0.5 + audit + noise * rng.normal(size=steps)


@pytest.mark.parametrize("seed", range(10))
def test_a_planted_fall_is_found_near_its_step(seed):
    reward, audit = course(200, 80, seed)
    (finding,) = falls({"reward": series(reward), "audit/honest/mean": series(audit)})
    words = finding.title.split()
    assert finding.title.startswith("The reward rose by ")
    assert "while the audit honest fell by" in finding.title
    assert 65 <= int(words[-1]) <= 105
    assert float(words[4]) == pytest.approx(0.55, abs=0.12)
    assert float(words[-4]) == pytest.approx(0.53, abs=0.12)
    assert "metric_for_best_model: eval_audit/honest/mean" in finding.detail


def test_few_evaluations_are_enough_and_are_read_before_the_steps():
    metrics = {
        "eval_reward": Series(np.array([10, 20, 30, 40, 50, 60]), np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])),
        "eval_audit/x/mean": Series(np.array([10, 20, 30, 40, 50, 60]), np.array([0.6, 0.7, 0.55, 0.4, 0.3, 0.1])),
        "reward": series(np.zeros(60)),
        "audit/x/mean": series(np.zeros(60)),
    }
    (finding,) = falls(metrics)
    assert finding.title == "The reward rose by 0.4 while the audit x fell by 0.6 from step 20"


@pytest.mark.parametrize("steps", [6, 12, 40, 200])
def test_noise_alone_is_not_found(steps):
    found = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        metrics = {"reward": series(rng.normal(size=steps)), "audit/x/mean": series(rng.normal(size=steps))}
        found += len(falls(metrics))
    assert found == 0


def test_an_audit_that_rises_with_the_reward_or_falls_with_it_is_not_found():
    rising, falling = np.linspace(0, 1, 50), np.linspace(1, 0, 50)
    for reward, audit in ((rising, rising), (falling, falling), (falling, rising)):
        assert falls({"reward": series(reward), "audit/x/mean": series(audit)}) == []


def test_a_signal_of_the_total_reward_is_no_audit():
    rising, falling = np.linspace(0, 1, 50), np.linspace(1, 0, 50)
    assert falls({"reward": series(rising), "audit/total/length": series(falling)}) == []


def test_the_report_of_a_run_says_it(tmp_path):
    run = write_run(tmp_path / "run", steps=80)
    reward, audit = course(80, 30)
    lines = metric_lines(80)
    for line, *values in zip(lines, reward, audit, strict=True):
        line["reward"], line["audit/honest/mean"] = values
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert any("while the audit honest fell" in finding.title for finding in find_problems(read_run_folder(run)))

from dataclasses import replace

import pandas as pd
import pytest
from written_run import write_run

from align.methods.rollouts.findings import spread_reasons
from align.report.page import read_run
from align.report.run.completions import UNKNOWN, reward_weights
from align.report.run.facts import find_problems
from align.report.run.folder import read_run_folder


def rows(count=32, size=4, **columns):
    """Makes groups of completions; a column is a function of the group and the place in it."""
    made = []
    for group in range(count):
        for place in range(size):
            row = {"step": 1, "prompt": f"q{group}", "completion": f"text {group} {place}", "own_reward": place % 2}
            made.append(row | {name: value(group, place) for name, value in columns.items()})
    return made


def titles(found):
    return [finding.title for finding in found]


def test_groups_without_spread_are_counted_with_their_reasons():
    def text(group, place):
        return "same" if group % 4 == 0 else f"text {group} {place}"

    def outcome(group, place):
        return "both" if group % 4 < 3 else "neither"

    table = rows(own_reward=lambda group, place: 1.0, completion=text, outcome=outcome)
    assert spread_reasons(table) == {"all right": 0.5, "the same text": 0.25, "all wrong": 0.25}
    assert spread_reasons(rows()) == {}


def test_first_answers_that_earn_nothing_are_not_called_right():
    def outcome(group, place):
        return "both" if group % 2 else "first_only"

    half = {"all right": 0.5, "right in their first answer only": 0.5}
    assert spread_reasons(rows(own_reward=lambda group, place: float(group % 2), outcome=outcome)) == half
    assert spread_reasons(rows(own_reward=lambda group, place: 1.0, outcome=outcome)) == {"all right": 1.0}


def test_without_outcomes_the_reason_is_the_best_or_the_lowest_reward():
    def reward(group, place):
        return {0: 1.0, 1: 0.0, 2: 0.5}.get(group % 4, float(place % 2))

    third = pytest.approx(1 / 3, abs=0.02)
    assert spread_reasons(rows(own_reward=reward)) == {
        "all at the best reward": third, "all at the lowest reward": third, "mixed": third,
    }  # fmt: skip


def test_the_finding_about_groups_without_spread_gives_the_reasons_and_their_remedies(tmp_path):
    run = read_run_folder(write_run(tmp_path / "run", steps=20, frac_reward_zero_std=0.7))
    table = rows(own_reward=lambda group, place: 1.0, outcome=lambda group, place: "both")
    (found,) = find_problems(replace(run, completions=table))
    assert found.title == "70 % [5 logs] of prompt groups have no spread in reward"
    assert "Of those saved: 100 % all right. Where all are right, the questions are too easy" in found.detail


def test_numbers_of_a_tool_are_no_reward():
    flat = rows(own_reward=lambda g, p: 1.0, price=lambda g, p: float(p), own_reward_raw=lambda g, p: float(p))
    assert spread_reasons(flat, {"own_reward": 1.0}) == {"all at the best reward": 1.0}


def test_a_run_knows_its_rewards_by_the_names_that_it_logged(tmp_path):
    fixed = {"frac_reward_zero_std": 0.7, "rewards/Shop/mean": 0.5}
    run = read_run_folder(write_run(tmp_path / "run", steps=20, **fixed))
    table = rows(format=lambda g, p: 1.0, answer_consistency=lambda g, p: 0.0, Shop=lambda g, p: float(g % 2),
                 own_reward=lambda g, p: float(p))  # fmt: skip
    (found,) = find_problems(replace(run, completions=table))
    listed = found.detail.partition("Of those saved: ")[2].partition(". ")[0].split(", ")
    assert sorted(listed) == ["50 % all at the best reward", "50 % all at the lowest reward"]
    assert reward_weights(run.recipe, run.metrics) == {"answer_consistency": 1.0, "format": 0.1, "Shop": 1.0}
    specs = {"reward_funcs": ["./own.py:fair", "org/model-1.5b", "trl.rewards.think"], "reward_weights": [2, 1, 0.5]}
    assert reward_weights(specs, ["rewards/fair/std"]) == {"fair": 2.0, "model-1.5b": 1.0, "think": 0.5}
    assert reward_weights({}, ["rewards/chosen", "loss"]) == UNKNOWN


def test_log_probs_that_differ_between_sampler_and_trainer_are_found(tmp_path):
    gap = {"sampling/sampling_logp_difference/mean": 0.4}
    (found,) = find_problems(read_run_folder(write_run(tmp_path / "run", steps=20, **gap)))
    assert "different log-probabilities, so the policy that writes is not the one that learns: 0.40" in found.title
    assert "use one dtype for both" in found.detail
    calm = {"sampling/sampling_logp_difference/mean": 0.03}
    assert find_problems(read_run_folder(write_run(tmp_path / "calm", steps=20, **calm))) == []


def test_a_reward_without_a_value_of_some_completions_says_on_how_many_its_curve_is(tmp_path):
    values = [1.0, 0.5, None, float("nan")]
    rows = [{"step": 1, "prompt": "?", "completion": "x", "rm": value, "other": 1.0} for value in values]
    (tmp_path / "completions").mkdir()
    pd.DataFrame(rows).to_parquet(tmp_path / "completions" / "completions_00001.parquet")
    (found,) = find_problems(read_run(tmp_path))
    assert found.title == "rm has no value of 2 of 4 completions"
    assert "the mean of these completions, 0.75, would be 0.62 or 0.88" in found.detail

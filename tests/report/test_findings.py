import json

import numpy as np
import pytest
from some_recipes import QUESTIONS
from written_run import metric_lines, write_run

from align.report.charts.drawing import downsample
from align.report.run.facts import find_problems
from align.report.run.folder import Series, read_metrics, read_run_folder
from align.report.run.samples import pick_samples


def findings(folder, **fixed):
    return find_problems(read_run_folder(write_run(folder, steps=40, **fixed)))


def test_a_healthy_run_has_no_findings(tmp_path):
    assert findings(tmp_path / "run") == []


@pytest.mark.parametrize(
    ("fixed", "title", "remedy"),
    [
        ({"completions/clipped_ratio": 0.6}, "60 % [10 logs] of completions are cut off", "max_completion_length"),
        ({"frac_reward_zero_std": 0.7, f"{QUESTIONS}/outcome_both": 0.9}, "no spread", "too easy"),
        ({"frac_reward_zero_std": 0.7, f"{QUESTIONS}/outcome_neither": 0.9}, "no spread", "too hard"),
        ({"frac_reward_zero_std": 0.7}, "70 % [10 logs] of prompt groups", "temperature"),
        ({f"{QUESTIONS}/trace_names_letter": 0.8}, "80 % [10 logs] of traces name a letter", "scrub_letters"),
        ({f"{QUESTIONS}/answer_share_A": 0.9}, "Answers favour A", "shuffle_options"),
        ({f"{QUESTIONS}/no_answer": 0.97}, "97 % [10 logs] of responses have no readable answer", "answer_tag"),
        ({"reward": 0.0, "reward_std": 0.0}, "Every completion of the run earned 0", "align rewards check"),
        ({f"{QUESTIONS}/no_answer": 0.97, "reward": 0.0, "reward_std": 0.0}, "and the reward never paid", "sft"),
        ({"loss": float("nan")}, "loss is not a number from step 1", "learning_rate"),
    ],
)
def test_a_planted_problem_is_found_with_its_remedy(tmp_path, fixed, title, remedy):
    (finding,) = findings(tmp_path / "run", **fixed)
    assert title in finding.title
    assert remedy in finding.detail


def test_an_early_problem_that_went_away_is_not_reported(tmp_path):
    run = write_run(tmp_path / "run", steps=40)
    lines = metric_lines(40)
    for line in lines[:20]:
        line["completions/clipped_ratio"] = 0.9
    (run / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert find_problems(read_run_folder(run)) == []


def test_a_policy_that_stopped_answering_is_not_accused_of_favouring_letters(tmp_path):
    shares = {
        f"{QUESTIONS}/answer_share_{letter}": 0.1 * share
        for letter, share in zip("ABCD", (0.3, 0.25, 0.25, 0.2), strict=True)
    }
    assert findings(tmp_path / "run", **shares) == []


def shares_of(answered, gold):
    of = {"answer": answered, "gold": gold}
    return {
        f"{QUESTIONS}/{name}_share_{letter}": share
        for name, shares in of.items()
        for letter, share in zip("ABCD", shares, strict=True)
    }


def test_even_guesses_beside_right_answers_favour_no_letter_where_the_gold_does(tmp_path):
    skewed = (0.75, 0.09, 0.08, 0.08)
    knows_half = shares_of((0.5, 0.17, 0.165, 0.165), skewed)
    assert findings(tmp_path / "run", **knows_half) == []
    assert findings(tmp_path / "guesses", **shares_of((0.25, 0.25, 0.25, 0.25), skewed)) == []
    (finding,) = findings(tmp_path / "fell", **shares_of((0.99, 0.01, 0.0, 0.0), skewed))
    assert "Answers favour A: 99 % of answers, 75 % of the gold" in finding.title
    assert "24 % [10 logs] of answers would have to move" in finding.detail
    (finding,) = findings(tmp_path / "other", **shares_of((0.4, 0.5, 0.05, 0.05), skewed))
    assert "Answers favour B" in finding.title


def test_a_run_killed_while_writing_and_resumed_is_read_and_the_broken_line_named(tmp_path):
    run = write_run(tmp_path / "run", steps=5)
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 6, "lo{"step": 6, "loss": 0.1}\n{"step": 7, "loss": 0.1}\n')
    folder = read_run_folder(run)
    assert folder.metrics["loss"].steps.tolist() == [1, 2, 3, 4, 5, 7]
    assert "line 6: not JSON" in find_problems(folder)[0].detail


def test_steps_repeated_after_a_resume_count_once_as_last_logged(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [(1, 0.1), (2, 0.2), (3, 0.3), (2, 0.7), (3, 0.8)]
    path.write_text("\n".join(json.dumps({"step": step, "loss": loss, "epoch": None}) for step, loss in rows))
    metrics, broken = read_metrics(path)
    assert metrics["loss"].steps.tolist() == [1, 2, 3]
    assert metrics["loss"].values.tolist() == [0.1, 0.7, 0.8]
    assert broken == []
    assert "epoch" not in metrics


def test_steps_behind_an_earlier_checkpoint_from_which_a_run_went_on_are_not_its_own(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "loss": 0.1, "only_before": 1.0} for step in (5, 10, 15, 20)]
    rows += [{"step": 20, "train_loss": 0.1}, {"step": 15, "loss": 0.7}, {"step": 15, "eval_loss": 0.8}]
    path.write_text("\n".join(map(json.dumps, rows)))
    metrics, _ = read_metrics(path)
    assert metrics["loss"].steps.tolist() == [5, 10, 15]
    assert metrics["loss"].values.tolist() == [0.1, 0.1, 0.7]
    assert metrics["only_before"].steps.tolist() == [5, 10]
    assert metrics["eval_loss"].steps.tolist() == [15]
    assert "train_loss" not in metrics


def test_an_evaluation_that_a_run_makes_up_for_leaves_what_was_logged_at_its_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    rows = [{"step": step, "loss": 0.1} for step in (5, 10, 15)] + [{"step": 10, "eval_loss": 0.8}]
    path.write_text("\n".join(map(json.dumps, rows)))
    metrics, _ = read_metrics(path)
    assert metrics["loss"].steps.tolist() == [5, 10]
    assert metrics["eval_loss"].steps.tolist() == [10]


def test_downsampling_keeps_the_mean_and_the_extremes():
    values = np.sin(np.arange(10_000))
    values[5_000] = 9.0
    steps, mean, low, high = downsample(Series(np.arange(10_000), values), max_points=100)
    assert len(steps) == 100
    assert mean.mean() == pytest.approx(values.mean())
    assert high.max() == 9.0
    assert low.min() == values.min()


def test_a_short_series_is_drawn_as_logged():
    steps, mean, low, high = downsample(Series(np.array([1, 5, 9]), np.array([0.1, np.nan, 0.3])))
    assert steps.tolist() == [1, 9]
    assert mean.tolist() == low.tolist() == high.tolist() == [0.1, 0.3]


def row(step: int, first: str, second: str | None, advantage: float, **columns: object) -> dict[str, object]:
    outcome = "both" if first == second else "first_only"
    words = {
        "step": step,
        "completion": f"It is {first}, {advantage}.",
        "first_answer": first,
        "second_answers": second,
    }
    return {**words, "outcome": outcome, "advantage": advantage, **columns}


def test_samples_lead_with_the_disagreeing_rows_that_were_rewarded_most():
    rows = [
        row(1, "A", "A", 3.0),
        *(row(2, "A", "B", advantage) for advantage in (0.5, 2.0, -1.0)),
        row(3, "A", "A", 0.0),
    ]
    picked = pick_samples(rows, limit=4)
    assert [sample.rewards["advantage"] for sample in picked] == ["2.00", "0.50", "0.00", "3.00"]
    assert [sample.why for sample in picked] == ["disagreeing", "disagreeing", "last", "first"]


def test_samples_hold_the_best_the_worst_and_those_of_which_rewards_disagree():
    rows = [row(step, "A", "A", 0.0, right=0.5, neat=0.5, completion=f"Text {step}.", gold="B") for step in range(40)]
    rows[17] |= {"right": 1.0, "neat": 1.0}
    rows[18] |= {"right": 0.0, "neat": 0.0}
    rows[19] |= {"right": 0.0, "neat": 1.0}
    rows[20] |= {"audit/seen": 2.0, "right": float("nan"), "neat": None}
    picked = {sample.why: sample for sample in pick_samples(rows, limit=10, weights={"right": 2.0, "neat": 1.0})[::-1]}
    assert (picked["best"].step, picked["best"].reward, picked["best"].gold) == (17, "3.00", "B")
    assert (picked["worst"].step, picked["worst"].reward) == (18, "0.00")
    assert (picked["disagreeing"].step, picked["disagreeing"].differs) == (19, ["rewards disagree"])
    assert picked["best"].words == "Text 17."
    ((unpaid,),) = [pick_samples([rows[20]], limit=1)]
    assert unpaid.reward == "", "an audit is no reward"


def test_columns_that_a_method_saves_of_its_own_are_shown():
    (sample,) = pick_samples([row(1, "A", "A", 0.0, turns=[{"role": "tool", "content": "4"}], own="seen")])
    assert sample.others == {"turns": "tool: 4", "own": "seen"}


def test_a_number_that_is_no_reward_is_shown_beside_the_rewards():
    columns = {"fair": 0.5, "fair_raw": 9.0, "audit/seen": 2.0, "price": 7.0, "label": 1}
    (sample,) = pick_samples([row(1, "A", "A", 0.0, **columns)], weights={"fair": 2.0})
    assert sample.reward == "1.00"
    assert sample.rewards == {"fair": "0.50", "fair_raw": "9.00", "audit/seen": "2.00", "advantage": "0.00"}
    assert sample.others == {"price": "7.0", "label": "1"}
    (sample,) = pick_samples([row(1, "A", "A", 0.0, **columns)])
    assert (sample.reward, sample.others) == ("8.50", {}), "as of a run that did not log the names of its rewards"


def test_two_wrong_answers_that_differ_disagree():
    assert pick_samples([row(1, "C", "B", 0.0)])[0].differs == ["answers disagree"]
    assert pick_samples([row(1, "C", "C", 0.0)])[0].differs == []


def test_no_row_is_sampled_twice():
    rows = [row(step, "A", "B", float(step)) for step in range(7)]
    assert len({sample.step for sample in pick_samples(rows)}) == len(pick_samples(rows)) == 7

import math
import random

import numpy as np
import pytest
from scripted_reward import ScriptedReward
from written_evaluation import scores_record

from align.data.pairs.reward_bench import BenchPair
from align.data.pairs.reward_bench_2 import BenchItem
from align.evaluation.heuristics import against_heuristics, heuristics_as_the_judge, heuristics_on_pairs
from align.evaluation.record import read_record, write_record
from align.evaluation.record.details import not_better
from align.evaluation.suites.reward_model.suite import evaluate_reward_model

CHOSEN = ["a longer answer about the sky", "short", "**bold** it", "same"]
REJECTED = ["brief", "a long wrong one", "plain it", "same"]
PROMPTS = ["the sky?", "why?", [{"role": "user", "content": "bold or plain?"}], "?"]


def pairs(count, longer):
    """Pairs of two categories, of which so large a share of the chosen responses are the longer ones."""
    rng = random.Random(0)
    rows = []
    for i in range(count):
        texts = ("yes, right, indeed so", "no") if rng.random() < longer else ("yes", "no, wrong, not at all so")
        rows.append(BenchPair(f"p{i}", f"question {i}", *texts, i + 1, None, "even" if i % 2 == 0 else "odd"))
    return rows


def test_each_heuristic_takes_what_it_names():
    taken = heuristics_on_pairs(PROMPTS, CHOSEN, REJECTED)
    assert {name: values.tolist() for name, values in taken.items()} == {
        "the longer": [1, 0, 1, 0.5],
        "the shorter": [0, 1, 0, 0.5],
        "the one with more Markdown": [0.5, 0.5, 1, 0.5],
        "the one with more words of the prompt": [1, 0.5, 0.5, 0.5],
    }


def test_a_model_that_reads_is_better_than_all_and_one_that_counts_is_told():
    rows = pairs(200, longer=0.8)
    reads = evaluate_reward_model(ScriptedReward(lambda _, text: text.startswith("yes")), rows).found.heuristics
    counts = evaluate_reward_model(ScriptedReward(lambda _, text: len(text)), rows).found.heuristics
    assert [each.name for each in reads] == ["all", "even", "odd"]
    assert not_better(reads) == ""
    assert reads[0].closest.name == "the longer"
    share = float(np.mean([len(row.chosen) > len(row.rejected) for row in rows]))
    assert reads[0].closest.difference.value == pytest.approx(1 - share)
    told = not_better(counts)
    assert told.startswith("Not shown to be better than a rule that reads nothing: all (0.")
    assert "always taking the longer" in told
    assert told.count("difference 0.00") == 3  # in all, and in both categories


def test_pairs_without_a_score_count_on_neither_side_and_a_lone_group_is_not_told_twice():
    right = np.array([1.0, math.nan, 0.0, 1.0])
    taken = {"the longer": np.array([0.0, 1.0, 1.0, 1.0])}
    (found,) = against_heuristics(right, taken, np.arange(4), ["only"] * 4)
    (longer,) = found.heuristics
    assert (found.name, found.accuracy.n, longer.difference.n) == ("all", 3, 3)
    assert (round(found.accuracy.value, 3), longer.difference.value) == (0.667, 0.0)


def test_items_with_several_wrong_responses_are_compared_too(tmp_path):
    items = [
        BenchItem(f"i{i}", f"q{i}", ("a right and long answer",), ("no", "nay", "never"), "Math", i + 1)
        for i in range(30)
    ]
    model = ScriptedReward(lambda _, text: "right" in text)
    result = evaluate_reward_model(model, [], items=items)
    (found,) = result.found.heuristics
    values = {each.name: each.accuracy.value for each in found.heuristics}
    assert (found.accuracy.value, values["the longer"], values["the shorter"]) == (1, 1, 0)
    assert values["the one with more Markdown"] == 0.25  # four that are alike
    write_record(tmp_path / "evaluation.json", scores_record({"rm": result.summary()}, {}, {"rm": result.found}))
    assert read_record(tmp_path / "evaluation.json").scores["rm"].heuristics == result.found.heuristics


def test_a_judge_that_prefers_the_longer_is_told_by_what_it_decides():
    ours, theirs = ["long " * 9, "one", "one", "same"], ["short", "two words", "two words", "other words"]
    worth = np.array([1.0, 0.0, 1.0, 0.5])  # the longer twice, the shorter once, and one that it cannot tell
    found = heuristics_as_the_judge(["?"] * 4, ours, theirs, worth, np.arange(4))
    assert (round(found["the longer"].value, 3), found["the longer"].n) == (0.667, 3)
    assert found["the one with more Markdown"].value == 0.5

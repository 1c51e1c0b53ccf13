"""Items that one model wins: right where the other is wrong only where each is right or wrong."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
from written_evaluation import write_evaluation, write_reward_model_evaluation

from align.errors import RunFolderError
from align.evaluation.record import read_record
from align.evaluation.results import pair_answers
from align.report.evaluation.items import list_changes, pick_outcomes
from align.report.evaluation.measured import won_and_lost
from align.report.evaluation.page import evaluation_view


def paired(ours, theirs):
    values = {"ours": {"accuracy": np.array(ours)}, "theirs": {"accuracy": np.array(theirs)}}
    (found,) = pair_answers(values, [f"q{i}" for i in range(len(ours))])
    return found


def titles(listings):
    return [each.title for each in listings]


def test_shares_of_several_samples_are_more_or_less_often_right():
    several = paired([0.875, 0.5, 0.125, 0.0], [0.75, 0.5, 0.25, 0.0])
    assert titles(list_changes([several])) == [
        "ours is right more often than theirs is: 1 item",
        "ours is right less often than theirs is: 1 item",
    ]
    assert won_and_lost(several) == ", 1 item won and 1 lost"


def test_single_answers_are_right_or_wrong():
    single = paired([1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0])
    assert titles(list_changes([single])) == [
        "ours is right where theirs is wrong: 1 item",
        "ours is wrong where theirs is right: 1 item",
    ]
    assert won_and_lost(single) == ", 1 item won and 1 lost (McNemar p = 1.000)"
    assert won_and_lost(paired([1.0] * 2000, [0.0] * 2000)) == ", 2,000 items won and 0 lost (McNemar p below 0.001)"


def test_a_pair_that_a_reward_model_did_not_score_is_not_wrong(tmp_path):
    folder = write_reward_model_evaluation(tmp_path / "x")
    margins = [{"edits": 1.0, "bt": None}, {"edits": 1.0}, {"edits": None, "bt": 1.0}, {"edits": 1.0, "bt": -1.0}]
    rows = [{"id": f"p{i}", "margin": margin} for i, margin in enumerate(margins)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    view = evaluation_view(folder, read_record(folder / "evaluation.json"))
    assert titles(view.listings) == [
        "edits is right where bt is wrong: 1 pair",
        "edits is wrong where bt is right: 0 pairs",
    ]
    assert view.listings[0].names == ["p3"]


def test_few_prompts_with_many_pairs_are_few(tmp_path):
    folder = write_reward_model_evaluation(tmp_path / "x")
    record = read_record(folder / "evaluation.json")
    for cells in record.suites["scores"].values():
        cells["accuracy"] = cells["accuracy"]._replace(n=60)
    (few,) = (each for each in evaluation_view(folder, record).findings if each.title == "Few items")
    assert few.level == "note"
    assert "edits: pairs of only 60 prompts, however many" in few.detail
    assert "bt: pairs of only 60 prompts" in few.detail


def test_items_of_another_evaluation_are_refused(tmp_path):
    table = write_evaluation(tmp_path / "ours", questions=20) / "items.parquet"
    record = read_record(table.with_name("evaluation.json"))
    parquet.write_table(parquet.read_table(table).drop_columns(["correct"]), table)
    with pytest.raises(RunFolderError, match=r"items\.parquet has no column 'correct': it is of another evaluation"):
        pick_outcomes(table, ["ours"], record.paired, None, needs=("correct",))

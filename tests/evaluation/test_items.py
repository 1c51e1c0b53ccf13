import json
import math

import pytest

from align.evaluation.record import as_json
from align.evaluation.statistics.metrics import wilson
from align.evaluation.suites.questions.answering import ItemResult
from scripts.policies import evaluation_record, item_differences, summarise


def item(name: str, first: int | None, second: list[int | None] | None, stated: int | None = None, gold: int = 0):
    return ItemResult(name, None, gold, first, second, [[1, 0]], "trace \u2028 <b>", "text", stated)


ITEMS = [
    item("q1", 0, [0], stated=0),
    item("q2", 1, [0], stated=0),
    item("q3", 0, [1], stated=1),
    item("q4", None, None),
    item("q5", 0, []),
]


def test_a_summary_by_hand():
    summary = summarise(ITEMS)
    assert summary["accuracy"] == wilson(3, 5)
    assert summary["option_shuffle_consistency"] == wilson(1, 4)  # q4 has no answer and counts, q5 cannot be shuffled
    assert summary["share_A"] == wilson(3, 4)
    assert summary["trace_answer_consistency"] == wilson(1, 3)
    assert summary["cr_wa"] == summary["wr_ca"] == wilson(1, 3)
    assert summary["trace_stated"] == wilson(3, 5)
    assert summary["answered"] == wilson(4, 5)


def test_agreement_on_every_shuffle_is_reported_where_there_are_several():
    summary = summarise([item("q1", 0, [0, 1]), item("q2", 0, [0, 0])])
    assert summary["option_shuffle_consistency"].value == 0.75
    assert summary["option_shuffle_consistency_all"] == wilson(1, 2)
    assert "option_shuffle_consistency_all" not in summarise(ITEMS)


def test_differences_pair_the_same_questions_whatever_their_order():
    worse = [item("q2", None, None), item("q1", 0, [1])]
    better = [item("q1", 0, [0]), item("q2", 0, [0])]
    assert item_differences(better, worse)["accuracy"].value == 0.5
    assert item_differences(better, worse)["option_shuffle_consistency"].value == 1


def test_differences_leave_out_items_that_one_side_says_nothing_about():
    assert item_differences([item("q1", 0, [0], stated=0)], [item("q1", 0, [0])])["cr_wa"].n == 0


def test_different_questions_are_not_compared():
    with pytest.raises(ValueError, match="'q3' only on one side"):
        item_differences(ITEMS[1:4], [item("q2", 0, [0]), item("q4", 0, [0]), item("q9", 0, [0])])


def test_a_record_holds_summaries_and_differences_as_plain_json():
    record = json.loads(json.dumps(as_json(evaluation_record({"THEIRS": ITEMS, "OURS": ITEMS}, baseline="THEIRS"))))
    assert record["OURS"]["summary"]["accuracy"][:1] == [0.6]
    assert record["OURS"]["difference_to"]["THEIRS"]["accuracy"][0] == 0
    assert "difference_to" not in record["THEIRS"]


def test_a_record_refuses_an_unknown_baseline():
    with pytest.raises(ValueError, match="got 'OURS'"):
        evaluation_record({"THEIRS": ITEMS}, baseline="OURS")


def test_a_summary_of_nothing_has_no_numbers():
    assert all(math.isnan(estimate.value) for estimate in summarise([]).values())

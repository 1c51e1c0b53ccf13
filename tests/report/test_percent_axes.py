"""Axes count percent where values are shares, and nowhere else, however small the values are."""

from written_evaluation import write_evaluation, write_reward_model_evaluation

from align.evaluation.record import read_record
from align.report.evaluation.page import evaluation_view


def test_mean_margins_are_no_shares(tmp_path):
    folder = write_reward_model_evaluation(tmp_path / "edits")
    view = evaluation_view(folder, read_record(folder / "evaluation.json"))
    found = {chart.title: " %" in chart.svg for section in view.sections for chart in section.charts}
    assert found == {
        "Accuracy by category": True,
        "Accuracy lost to a change that leaves the meaning": True,
        "True quality of the best of n": False,
    }


def test_what_a_verifier_thinks_is_no_share_and_what_it_chooses_is_right_or_wrong(tmp_path):
    folder = write_evaluation(tmp_path / "x", questions=20)
    view = evaluation_view(folder, read_record(folder / "evaluation.json"))
    found = {chart.title: " %" in chart.svg for section in view.sections for chart in section.charts}
    assert found["True quality of the best of n"]
    assert not found["Proxy: what the verifier thinks"]
    assert found["Consistency of the answers"]

import json

import pytest

from align.evaluation.record.merging import MergedModel, MergingRecord
from align.evaluation.statistics.metrics import Estimate
from align.report import build_any_report
from align.report.merging import merging_view


def recorded(metric, base, tuned, difference, **others):
    models = [
        MergedModel(
            alpha=alpha, name="", path="", metrics={metric: value}, against_base=against, against_tuned=None,
        )
        for alpha, value, against in ((0.0, base, None), (1.0, tuned, difference))
    ]  # fmt: skip
    return MergingRecord(
        format=1, base="b", tuned="t", data="d", metric=metric, questions=200, models=models, rule=None, picked=None,
        **others,
    )  # fmt: skip


def verdict(*values):
    return merging_view(recorded(*values)).verdict[0]


def test_only_a_difference_of_shares_is_one_of_points():
    values = Estimate(2.02, 1.88, 2.15, 200), Estimate(2.69, 2.55, 2.83, 200), Estimate(0.67, 0.62, 0.71, 200)
    assert verdict("reward/rm", *values) == (
        "Mean reward: rm: 2.69 for the tuned model, 2.02 for the base; a difference of 0.67 [0.62, 0.71]."
    )
    assert verdict("accuracy", *values).endswith("a difference of 67.00 [62.00, 71.00] points.")


def test_the_page_of_a_merge_is_written_again_from_its_folder(tmp_path):
    values = Estimate(0.5, 0.4, 0.6, 200), Estimate(0.7, 0.6, 0.8, 200), Estimate(0.2, 0.1, 0.3, 200)
    (tmp_path / "merging.json").write_text(json.dumps(recorded("accuracy", *values).model_dump()))
    assert "t merged with b" in build_any_report(tmp_path).read_text()
    assert build_any_report(tmp_path, tmp_path / "other.html").name == "other.html"


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("higher", ["Merged models that are better than both parents, as far as can be told: alpha 0.5."]),
        ("lower", ["No merged model can be told to be better than both parents."]),
        (
            "neither",
            [
                "Merged models that are higher in Mean reward: rm than both parents, as far as can be told: "
                "alpha 0.5.",
                "No merged model can be told to be lower in Mean reward: rm than both parents.",
            ],
        ),
    ],
)
def test_more_of_an_audit_is_not_better(side, said):
    values = Estimate(0.2, 0.1, 0.3, 200), Estimate(0.3, 0.2, 0.4, 200), Estimate(0.1, 0.05, 0.15, 200)
    merging = recorded("reward/rm", *values, sides={"rm": side})
    more = {"alpha": 0.5, "against_base": values[2], "against_tuned": values[2]}
    merging.models.insert(1, merging.models[1].model_copy(update=more))
    assert merging_view(merging).verdict[1:] == said

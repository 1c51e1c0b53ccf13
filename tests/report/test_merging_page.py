from align.evaluation.record.merging import MergedModel, MergingRecord
from align.evaluation.statistics.metrics import Estimate
from align.report.merging import merging_view


def verdict(metric, base, tuned, difference):
    models = [
        MergedModel(
            alpha=alpha, name="", path="", metrics={metric: value}, against_base=against, against_tuned=None,
            gained=None, lost=None,
        )
        for alpha, value, against in ((0.0, base, None), (1.0, tuned, difference))
    ]  # fmt: skip
    record = MergingRecord(
        format=1, base="b", tuned="t", data="d", metric=metric, questions=200, models=models, rule=None, picked=None
    )
    return merging_view(record).verdict[0]


def test_only_a_difference_of_shares_is_one_of_points():
    values = Estimate(2.02, 1.88, 2.15, 200), Estimate(2.69, 2.55, 2.83, 200), Estimate(0.67, 0.62, 0.71, 200)
    assert verdict("reward/rm", *values) == (
        "Mean reward: rm: 2.02 [1.88, 2.15] for the base, 2.69 [2.55, 2.83] for the tuned model; "
        "a difference of 0.67 [0.62, 0.71]."
    )
    assert verdict("accuracy", *values).endswith("67.0 points more [+62.0, +71.0].")

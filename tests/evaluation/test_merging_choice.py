import math

import pytest
from graded_answers import graded_record

from align.errors import UserError
from align.evaluation.record.merging import MergedModel
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suites.questions import QuestionOptions
from align.services.merge import Values, compare, item_values, merge_models, pick, read_rule
from align.services.options import Merged


def right(*answers):
    return {f"q{i}": float(each) for i, each in enumerate(answers)}


VALUES = Values({"base": right(0, 0, 1, 1), "tuned": right(0, 1, 1, 0), "mid": right(1, 1, 0, 1)})


def test_a_model_is_compared_with_both_parents_on_the_same_items():
    found = compare("mid", VALUES, "base", "tuned")
    assert found["against_base"].value == found["against_tuned"].value == 0.25
    assert found["against_base"].n == 4
    own = compare("base", VALUES, "base", "tuned")
    assert own["against_base"] is None
    assert own["against_tuned"].value == 0
    values = {name: {"a": number, "b": 2 * number} for name, number in (("base", 1.0), ("mid", 3.0), ("tuned", 3.0))}
    assert compare("mid", Values(values, None), "base", "tuned")["against_base"].value == 3


def test_a_reward_with_a_right_value_has_differences_of_its_values():
    graded = {"tuned": [0.45, 0.55, 0.65], "base": [0.35, 0.45, 0.55], "mid": [0.5, 0.5, 0.4]}
    rows = [
        {"model": name, "id": f"q{i}", "reward/rm": each}
        for name, values in graded.items()
        for i, each in enumerate(values)
    ]
    record = graded_record(graded, right_from=0.5)
    values = item_values(record, iter(rows))
    (against,) = (
        each.difference for each in record.comparisons if (each.baseline, each.metric) == ("base", "reward/rm")
    )
    assert compare("tuned", values, "base", "tuned")["against_base"] == pytest.approx(against, nan_ok=True)
    assert against.value == pytest.approx(0.1)


def test_a_sample_without_a_value_leaves_its_item_the_others():
    rows = [
        {"model": name, "id": id, "reward/rm": value}
        for name, values in {"base": (0.0, None), "tuned": (0.0, 1.0), "mid": (1.0, float("nan"))}.items()
        for id in ("a", "b")
        for value in ((values[0], None) if id == "a" else values[1:])
    ]
    values = item_values(graded_record({"tuned": [1.0], "base": [0.5]}, right_from=1.0), rows)
    found = compare("mid", values, "base", "tuned")
    assert found["against_base"].value == 1
    assert found["against_base"].n == 1  # of b no value is known


@pytest.mark.parametrize("right", [1.0, 0.7])
def test_a_merged_model_is_not_better_where_values_are_missing(right):
    """Right on half of the items, without a value on the others: it may be wrong there."""
    graded = {"tuned": [0.0] * 20 + [right] * 20, "base": [0.0] * 20 + [right] * 20}
    for missing, told in (([right] * 20, "above"), ([None] * 20, None)):
        rows = [
            {"model": name, "id": f"q{i}", "reward/rm": each}
            for name, values in (graded | {"mid": [right] * 20 + missing}).items()
            for i, each in enumerate(values)
        ]
        found = compare("mid", item_values(graded_record(graded), rows), "base", "tuned")
        assert found["against_base"].verdict() == found["against_tuned"].verdict() == told


def model(alpha, accuracy, drift):
    metrics = {
        "accuracy": Estimate(accuracy, 0, 1, 9),
        "drift_kl": Estimate(drift, 0, 1, 9),
        "share_A": Estimate(1, 0, 1, 9),
    }
    return MergedModel(alpha=alpha, name="", path="", metrics=metrics, against_base=None, against_tuned=None)


MODELS = [model(0.0, 0.5, 0.0), model(0.5, 0.7, 0.2), model(1.0, 0.8, 0.9), model(0.7, 0.7, 0.1)]


@pytest.mark.parametrize(
    ("rule", "alpha"),
    [
        ("accuracy", 1.0),
        ("accuracy where drift_kl.value < 0.5", 0.5),  # of two equal ones that with the smaller weight
        ("accuracy where drift_kl.value < 0.2", 0.7),
        ("accuracy where drift_kl.value < 0.15 and drift_kl.value >= 0.1", 0.7),
        ("accuracy where drift_kl.value < 0", None),
        ("accuracy where drift_kl < 1", None),  # the interval reaches 1
        ("accuracy where drift_kl <= 1 and drift_kl >= 0", 1.0),
    ],
)
def test_the_best_within_bounds_is_picked(rule, alpha):
    found = pick(read_rule(rule), MODELS)
    assert (None if found is None else found.alpha) == alpha


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "must begin with one metric"),
        ("accuracy is high", "must begin with one metric"),
        ("accuracy where drift_kl = 1", "METRIC where METRIC < NUMBER"),
        ("accuracy where drift_kl < few", "METRIC where METRIC < NUMBER"),
        ("nonsense", "'nonsense', which was not measured. There are: accuracy, drift_kl, share_A"),
        ("accuracy where x < 1", "'x', which was not measured"),
        ("share_A", "it is not known whether more or less of it is better"),
    ],
)
def test_rules_that_say_nothing_are_refused(rule, said):
    with pytest.raises(UserError, match=said):
        pick(read_rule(rule), MODELS)


def test_a_number_that_is_none_fits_no_bound():
    assert pick(read_rule("accuracy where drift_kl.value < 1"), [model(0.5, 0.7, math.nan)]) is None


def test_a_model_without_a_value_is_not_picked():
    silent, speaks = model(0.0, math.nan, 0.0), model(1.0, 0.1, 0.9)
    assert pick(read_rule("accuracy"), [silent, speaks]) is speaks
    assert pick(read_rule("accuracy where drift_kl <= 1"), [speaks, silent]) is speaks
    assert pick(read_rule("accuracy"), [silent]) is None


def test_an_unknown_suite_is_refused_before_anything_is_merged(tmp_path):
    merged = Merged(base="none", tuned="none", data="questions.jsonl")
    with pytest.raises(UserError, match=r"`suite` must be some of accuracy, .*got \['consistancy'\]"):
        merge_models(merged, (), tmp_path / "out", QuestionOptions(suite=("consistancy",)), {"suite"}, print)
    assert not (tmp_path / "out").exists()


def test_the_best_of_a_monitor_is_its_least_and_of_an_audit_nobody_knows():
    metric, values = "reward/watch", {0.0: 0.1, 0.5: 0.0, 1.0: 0.4}
    models = [replace_metric(model(alpha, 0.5, 0.0), metric, value) for alpha, value in values.items()]
    found = {side: pick(read_rule(metric), models, {"watch": side}) for side in ("higher", "lower")}
    assert {side: each.alpha for side, each in found.items()} == {"higher": 1.0, "lower": 0.5}
    with pytest.raises(UserError, match=r"of it is better\. Pick by another metric, and bound this one: `METRIC wh"):
        pick(read_rule(metric), models, {"watch": "neither"})


def replace_metric(merged, metric, value):
    return merged.model_copy(update={"metrics": {metric: Estimate(value, 0, 1, 9)}})

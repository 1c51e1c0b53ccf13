import re
from types import SimpleNamespace

import numpy as np
import pytest

from align.methods.deconfound.correction.output import write_json
from align.methods.deconfound.correction_page import in_grpo
from align.methods.deconfound.report import REPORT, SIGNS
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals, in_words
from align.report.run.finding import look_at
from align.report.run.folder import Series
from align.report.run.method_parts import comparison_charts, run_charts


def metrics_of(**values):
    steps = np.arange(1, 17)
    return {
        key.replace("__", "/"): Series(steps, np.full(16, value) if np.isscalar(value) else np.array(value))
        for key, value in values.items()
    }


GOOD = {
    "deconfound__mse": 0.5, "deconfound__correlation_corrected": 0.7, "deconfound__correlation_outcome": 0.6,
    "deconfound__correlation_popularity": 0.5, "deconfound__target_popularity": 0.4, "eval_deconfound__mse": 0.6,
    "eval_runtime": 2.0, "eval_samples_per_second": 250.0,
}  # fmt: skip


def test_a_sound_run_has_no_finding():
    assert look_at(SimpleNamespace(metrics=metrics_of(**GOOD)), SIGNS) == []
    assert look_at(SimpleNamespace(metrics={}), SIGNS) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"deconfound__mse": 0.99}, "no better than predicting the mean"),
        ({"eval_deconfound__mse": 0.9}, "0.90 [0.79, 1.01; 500 rows] on held-out rows"),
        ({"deconfound__correlation_popularity": 0.9}, "Predictions go with popularity at 0.9"),
        ({"deconfound__correlation_popularity": -0.9}, "Predictions go with popularity at -0.9"),
    ],
)
def test_what_is_wrong_is_found(change, words):
    (found,) = look_at(SimpleNamespace(metrics=metrics_of(**GOOD | change)), SIGNS)
    assert words in found.title


def test_few_held_out_rows_tell_no_learning_by_heart():
    few = GOOD | {"eval_deconfound__mse": 0.9, "eval_samples_per_second": 12.0}
    assert look_at(SimpleNamespace(metrics=metrics_of(**few)), SIGNS) == []


def test_the_charts_show_error_correlations_and_each_confounder():
    titles = [chart.title for chart in run_charts(REPORT, metrics_of(**GOOD))]
    assert titles[:3] == [
        "Squared error", "Correlation of the predictions with the outcome", "Does the reward lean on popularity?",
    ]  # fmt: skip
    compared = comparison_charts(REPORT.compared, {name: metrics_of(**GOOD) for name in "ab"})
    assert "Correlation with the corrected outcome" in [chart.title for chart in compared]


def test_intervals_are_drawn_with_escaped_names():
    chart = draw_intervals("T", "n", [Interval("<b>$x_1$", "one", 1, 0, 2), Interval("y", "two", 0, -1, 1)], "unit")
    assert isinstance(chart, Chart)
    assert "<b>" not in chart.svg
    assert "&lt;b&gt;$x_1$" in chart.svg
    assert [entry.label for entry in chart.legend] == ["one", "two"]


def test_what_is_not_known_is_not_drawn():
    nan = float("nan")
    known, unknown = Interval("a", "", 0.5, 0.2, 0.7), Interval("b", "", nan, nan, nan)
    svg = draw_intervals("T", "n", [known, unknown], "unit", share=True).svg
    assert (svg.count("<circle"), svg.count('class="curve"'), "nan" in svg) == (1, 1, False)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((2.4375, 2.3712, 2.5201), "2.44 [2.37, 2.52]"),
        ((1.2, 1.198, 1.2021), "1.2000 [1.1980, 1.2021]"),
        ((1234.5, 1100.0, 1400.0), "1,234 [1,100, 1,400]"),
        ((0.0, 0.0, 0.0), "0 [0, 0]"),
        ((1e-9, 0.9e-9, 1.1e-9), "1.00e-09 [9.00e-10, 1.10e-09]"),
    ],
)
def test_an_interval_keeps_two_digits_of_its_width(numbers, text):
    assert in_words(*numbers) == text


def test_an_estimate_that_is_far_less_sure_ends_in_an_arrow_and_does_not_set_the_axis():
    sure = [Interval(name, "", 0.2 + n / 10, n / 10, 0.4 + n / 10) for n, name in enumerate(("dml", "ols", "iv"))]
    drawn = [*sure, Interval("none", "", 0, 0, 0), Interval("weak", "", 40, -300, 400)]
    cut = draw_intervals("", "", drawn, "", cut=True).svg
    whole, near = (
        max(float(tick) for tick in re.findall(r'text-anchor="middle">([-\d.]+)<', svg))
        for svg in (draw_intervals("", "", drawn, "").svg, cut)
    )
    assert whole >= 400
    assert near < 1
    assert [cut.count(f"l{6 * side} 4l{-6 * side} 4z") for side in (-1, 1)] == [1, 1]
    assert cut.count("<circle") == 4


def test_the_page_says_how_much_of_the_correction_cancels_in_grpo():
    within = {"by": "prompt", "share_within": 0.25, "num_labels": 1200, "num_with_several": 7}
    text = in_grpo({"within": within})
    assert "25 % of the correction's variance lies within a prompt" in text
    assert "7 of 1,200 prompts have several rows" in text
    assert "not known here" in in_grpo({"within": None})


def test_what_is_written_beside_the_page_holds_no_secret(tmp_path):
    place = "https://me:Zq3-planted-login@host/data?token=Zq4-planted-query"
    write_json(tmp_path / "diagnostics.json", {"facts": {"Data": place, "password": "Zq1-planted-word"}})
    text = (tmp_path / "diagnostics.json").read_text()
    assert "***" in text
    assert "planted" not in text

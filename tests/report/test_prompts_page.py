"""What the page and the tables of an evaluation by rewards say of values: which are better, and which are shares."""

import math

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from graded_answers import graded_record

from align.evaluation.suites.prompts import ByRewards
from align.evaluation.suites.prompts.measured_rewards import find_rewards
from align.report.evaluation.page import evaluation_view
from rewards.reading.responses import DEFAULT_FORMAT

MORE = {"ours": [0.5, 0.75, 0.5, 0.25] * 10, "theirs": [0.0, 0.0, 0.25, 0.0] * 10}


@pytest.fixture
def page(tmp_path):
    """Arranges the page of a record whose models gave one response to each prompt."""

    def arrange(record, values):
        rows = [
            {"id": f"q{i}", "model": name, "group": None, "sample": 0, "prompt": "?", "columns": "{}",
             "completion": f"{value}", "answer": None, "reward/rm": value}
            for name, of_model in values.items()
            for i, value in enumerate(of_model)
        ]  # fmt: skip
        parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "items.parquet")
        return evaluation_view(tmp_path, record)

    return arrange


@pytest.mark.parametrize(
    ("known", "verdict", "counts"),
    [
        ({"better": "higher"}, "better", "prompts won: 40, lost: 0."),
        ({"better": "lower"}, "worse", "prompts with more: 40, with less: 0."),
        ({"better": "neither"}, "", "prompts with more: 40, with less: 0."),
        (
            {"role": "audit"},
            "",
            "prompts with more: 40, with less: 0.",
        ),  # an older file
        ({"role": "reward"}, "better", "prompts won: 40, lost: 0."),
    ],
)
def test_more_of_a_reward_is_better_only_where_that_is_known(page, known, verdict, counts):
    record = graded_record(MORE, **known)
    view = page(record, MORE)
    (row,) = view.headline.rows
    assert row.verdict(row.cells[-1]) == verdict
    assert view.verdict[0].endswith(counts)
    assert view.items[0].why == ("won" if "won" in counts else "with more")
    assert [side.is_right for side in view.items[0].sides] == [verdict == "better", verdict == "worse"]


def test_rewards_say_which_values_are_better(tmp_path):
    (tmp_path / "list.txt").write_text("of course\n")
    (tmp_path / "mine.py").write_text(
        "def brevity(completions, **kwargs):\n    return [0.0] * len(completions)\n"
        "def watch(completions, **kwargs):\n    return [0.0] * len(completions)\nwatch.audit_only = True\n"
        "def rudeness(completions, **kwargs):\n    return [0.0] * len(completions)\nrudeness.better = 'lower'\n"
    )
    mine = [f"{tmp_path}/mine.py:{name}" for name in ("brevity", "watch", "rudeness")]
    words = ByRewards(
        rewards=[*mine, "manipulation", "phrases", "number_accuracy"],
        reward_kwargs=f"{{phrases: {{file: {tmp_path}/list.txt}}}}",
    )
    called = find_rewards(words, None, DEFAULT_FORMAT)
    assert {each.name: each.better for each in called.rewards} == {
        "brevity": "higher", "watch": "neither", "rudeness": "lower", "manipulation": "lower", "phrases": "neither",
        "number_accuracy": "higher",
    }  # fmt: skip


def test_a_score_between_minus_one_and_one_is_no_share(page):
    values = {"ours": [-0.5, 0.75, 0.5, 0.25] * 10, "theirs": [0.0, -0.2, 0.25, 0.0] * 10}
    view = page(graded_record(values), values)
    assert view.verdict == [
        "rm: 0.25 for ours, 0.0125 for theirs; a difference of 0.24 [0.08, 0.39]; prompts won: 30, lost: 10."
    ]
    assert not any(" %" in chart.svg for chart in view.charts)
    inside = {name: [(each + 1) / 2 for each in of_model] for name, of_model in values.items()}
    for right_from in (None, 0.5):
        assert page(graded_record(inside, right_from), inside).verdict[0].startswith("rm: 0.625 for ours, 0.506 for ")


def test_a_reward_of_zeros_and_ones_is_a_share_of_responses(page):
    values = {"ours": [1.0, 1.0, 1.0, 0.0] * 10, "theirs": [0.0, 1.0, 0.0, 0.0] * 10}
    view = page(graded_record(values), values)
    assert view.verdict[0].startswith("rm: 75.0 % for ours, 25.0 % for theirs; a difference of 50.00 [")
    assert all(" %" in chart.svg for chart in view.charts)


def test_values_of_other_prompts_than_those_compared_have_their_counts(page):
    values = {"ours": [1.0] * 6 + [0.0] * 30 + [math.nan] * 4, "theirs": [math.nan] * 5 + [0.0] * 35}
    view = page(graded_record(values), values)
    assert view.verdict[0].startswith(
        "rm: 16.7 % for ours (36 items), 0.0 % for theirs (35 items); on the 31 items of both no difference can be "
        "told: 3.23 [-"
    )

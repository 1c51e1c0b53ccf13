import json
import re

import numpy as np
import pytest
from browser import HOSTILE
from typer.testing import CliRunner
from written_evaluation import cell, write_evaluation, write_reward_model_evaluation

from align.cli.app import app
from align.errors import RunFolderError
from align.evaluation.record import read_record
from align.evaluation.record.record import Warned
from align.evaluation.results import pair_answers
from align.evaluation.statistics.metrics import Estimate
from align.evaluation.suites.questions.answering import ItemResult
from align.evaluation.suites.questions.metrics import accuracy_suite
from align.report import build_any_report
from align.report.evaluation import build_evaluation_report
from align.report.evaluation.items import pick_outcomes
from align.report.evaluation.measured import apart
from align.report.evaluation.page import _within, few_items, written_warnings
from align.report.evaluation.questions import find_problems, question_item, too_few
from align.report.run.tables import Row


def titles(page):
    return re.findall(r"<figcaption><b>(.*?)</b>", page)


def headings(page):
    return re.findall(r"<h2>(.*?)</h2>", page)


def warnings(page):
    return re.findall(r'class="finding \w+" role="note">.*?<b>(.*?)\.</b>', page)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_evaluation(tmp_path_factory.mktemp("evaluation") / "ours")


@pytest.fixture(scope="module")
def page(folder):
    return build_evaluation_report(folder).read_text()


def test_the_page_opens_with_the_answer(page, folder):
    record = json.loads((folder / "evaluation.json").read_text())
    wins, losses = (len(record["paired"][0][key]) for key in ("wins", "losses"))
    first, second = re.search(r'<p class="answer">(.*?)</p>', page)[1], re.search(r"<li>(.*?)</li>", page)[1]
    assert page.index("Differences on the same items") < page.index('class="finding ') < page.index("<h2>Headline")
    assert re.match(r"Accuracy: \d\d\.\d % for ours, \d\d\.\d % for theirs; a difference of \d+\.\d\d \[", first)
    assert f"{wins} items won and {losses} lost (McNemar p below 0.001)" in first
    assert second.startswith("Option-shuffle consistency: ")


def test_four_items_of_a_thousand_are_no_difference_on_the_page_either(tmp_path):
    won = [f"q{i}" for i in range(4)]
    right = np.arange(1000) < 4
    pair = {"model": "ours", "baseline": "theirs", "metric": "accuracy"}
    difference = accuracy_suite(_answers(right)).differences(accuracy_suite(_answers(right & False)))["accuracy"]
    comparisons = [pair | {"suite": "accuracy", "difference": cell(difference)}]
    values = {"ours": {"accuracy": np.array([1.0] * 4 + [0.0])}, "theirs": {"accuracy": np.zeros(5)}}
    paired = [each.model_dump() for each in pair_answers(values, [*won, "q4"])]
    page = build_evaluation_report(
        write_evaluation(tmp_path / "x", comparisons=comparisons, paired=paired)
    ).read_text()
    first = re.search(r'<p class="answer">(.*?)</p>', page)[1]
    assert (
        "; no difference can be told: 0.40 [-0.08, 0.88] points, 4 items won and 0 lost (McNemar p = 0.125)" in first
    )
    assert 'class="estimate sure"' not in page
    assert "1 metric was compared. Where nothing differs, about 1 of 20 such intervals leaves out 0" in page


def _answers(right):
    return [
        ItemResult(str(i), None, 0, 0 if is_right else 1, None, [], None, "", None) for i, is_right in enumerate(right)
    ]


def test_what_was_run_is_on_the_page(page):
    for words in (
        "data/elements.jsonl",
        "outputs/ours",
        "0f0f0f0f0f0f",
        "greedy",
        "2.13.0+cpu",
        "--model outputs/ours",
    ):
        assert words in page
    assert "deepspeed" not in page, "what is not installed is left out"


def test_every_suite_has_its_heading_its_charts_and_its_differences(page):
    assert headings(page) == [
        "Headline", "What was run", "Accuracy", "Consistency of the answers", "Reliance on the trace, and leaks",
        "Best of n", "Best of n: proxy against gold",
        "Item by item", "Side by side",
    ]  # fmt: skip
    assert titles(page) == [
        "Differences on the same items", "Main metrics", "Accuracy", "Accuracy", "Consistency of the answers",
        "Share of letter", "Reliance on the trace, and leaks", "Same answer", "True quality of the best of n",
        "Proxy: what the verifier thinks",
    ]  # fmt: skip
    assert page.count('<th scope="col">ours - theirs</th>') == 5


def test_a_difference_is_called_better_or_worse_only_where_it_can_be_told():
    row = Row("Leaks", "", [], better="lower")
    assert row.verdict(Estimate(-0.1, -0.2, -0.05, 10)) == "better"
    assert row.verdict(Estimate(0.1, 0.05, 0.2, 10)) == "worse"
    assert row.verdict(Estimate(0.1, -0.05, 0.2, 10)) == ""
    assert row._replace(better="").verdict(Estimate(0.1, 0.05, 0.2, 10)) == ""


def test_items_stand_side_by_side_with_the_won_ones_first(folder):
    record = read_record(folder / "evaluation.json")
    items = pick_outcomes(
        folder / "items.parquet", ["ours", "theirs"], record.paired, question_item, needs=("correct",)
    )
    assert [item.why for item in items] == ["won"] * 12 + ["lost"] * 12 + ["answer changes"] * 12 + ["wrong"] * 4
    won = items[0]
    assert [side.is_right for side in won.sides] == [True, False]
    assert [side.model for side in won.sides] == ["ours", "theirs"]
    assert [option.is_gold for option in won.options].count(True) == 1
    assert won.sides[0].facts["first answer"] == next(option.letter for option in won.options if option.is_gold)
    assert sum(key.startswith("shown as ") for key in won.sides[0].facts) == 3
    assert {item.id for item in items[:12]} <= set(record.paired[0].wins)


def test_all_items_won_and_lost_are_named(page, folder):
    paired = json.loads((folder / "evaluation.json").read_text())["paired"][0]
    names = re.findall(r'<p class="names">(.*?)</p>', page, re.DOTALL)
    assert re.findall(r"<span>(.*?)</span>", names[0]) == paired["wins"]
    assert re.findall(r"<span>(.*?)</span>", names[1]) == paired["losses"]


SHARES = {"A": 0.65, "B": 0.15, "C": 0.1, "D": 0.1}


def problems(values, warnings=()):
    shares = {f"letter_share/{letter}": Estimate(share, share, share, 100) for letter, share in SHARES.items()}
    cells = {
        name: shares | {metric: Estimate(value, value - 0.2, value + 0.2, 100)}
        for name, (metric, value) in values.items()
    }
    return [*written_warnings(warnings), *find_problems(cells)]


@pytest.mark.parametrize(
    ("metric", "value", "words"),
    [
        ("letter_or_answer_in_trace", 0.8, "ours: 80 % [60, 100; 100 items] of traces give the answer away"),
        ("letter_bias", 0.4, "ours: 40 % [20, 60; 100 items] of answers would have to move"),
    ],
)
def test_what_weakens_an_evaluation_is_said(metric, value, words):
    (found,) = problems({"ours": (metric, value)})
    assert found.title.startswith(words)
    assert problems({"ours": (metric, value - 0.3)}) == [], "its interval is not above the limit"


def test_a_policy_that_guesses_where_the_gold_leans_prefers_no_place(monkeypatch):
    monkeypatch.setitem(SHARES, "A", 0.25)
    assert problems({"ours": ("letter_bias", 0.48)}) == []


def test_few_questions_and_an_interval_that_says_nothing_are_said():
    wide = {"ours - theirs": {"accuracy": Estimate(0.02, -0.1, 0.14, 60)}}
    few, groups = few_items(60, {"a": 29, "b": 31}, "questions")
    (nothing,) = too_few(60, wide)
    assert few.startswith("Only 60 questions were evaluated: ")
    assert groups == "Groups with fewer than 30 questions: a (29)."
    assert nothing.startswith("ours - theirs: the interval holds no difference and a large one (-10 to +14 points).")
    assert "About 350 questions" in nothing
    (small,) = too_few(24, {"a - b": {"accuracy": Estimate(0.05, -0.02, 0.12, 24)}})
    assert "About 50 questions would narrow it to 5 points" in small
    assert list(few_items(100, {"b": 30}, "questions")) == []
    assert apart(wide["ours - theirs"]["accuracy"], is_share=True).endswith("told: 2.00 [-10.00, 14.00] points")


def test_the_warnings_of_the_evaluation_come_first():
    first, _ = problems({"ours": ("letter_bias", 0.4)}, warnings=[Warned(model="ours", text="Cut off. Raise it.")])
    assert (first.title, first.detail) == ("ours: Cut off", "Raise it.")


def test_without_a_baseline_nothing_is_compared(tmp_path):
    text = build_evaluation_report(write_evaluation(tmp_path / "one", questions=100, models=("ours",))).read_text()
    assert "there is no baseline to compare with" in text
    assert "Item by item" not in text
    assert "answer changes" in text


def test_text_from_models_and_data_stays_text(tmp_path):
    text = build_evaluation_report(
        write_evaluation(tmp_path / "x", questions=40, models=("ours",), text=HOSTILE)
    ).read_text()
    assert not re.search(r"<(script|img|svg onload)", text)
    assert text.count("&lt;script&gt;") > 20


def test_undefined_estimates_and_missing_items_are_no_error(tmp_path):
    folder = write_evaluation(tmp_path / "gaps")
    record = json.loads((folder / "evaluation.json").read_text())
    record["suites"] = {"accuracy": record["suites"]["accuracy"]}
    record["suites"]["accuracy"]["ours"]["accuracy"] = {"value": None, "low": None, "high": None, "n": 0}
    record["suites"]["accuracy"]["ours"]["ppl"] = {"value": 12.5, "low": None, "high": None, "n": 30}
    (folder / "evaluation.json").write_text(json.dumps(record))
    (folder / "items.parquet").unlink()
    text = build_evaluation_report(folder).read_text()
    assert "not measured" in text
    assert "12.50 <span>no interval</span>" in text
    assert "Side by side" not in text


def test_reward_models_have_a_page_in_the_same_form(tmp_path):
    folder = write_reward_model_evaluation(tmp_path / "edits")
    text = build_any_report(folder).read_text()
    assert headings(text) == [
        "Headline", "What was run", "Accuracy by category", "Accuracy lost to a change that leaves the meaning",
        "Best of n", "Item by item",
    ]  # fmt: skip
    assert warnings(text) == [
        "bt: 2 pairs too long to be scored, and left out",
        "bt: its margins go with length (rank correlation 0.60 [0.45, 0.70; 400 items])",
    ]
    assert "Best of n: 4" in text
    margins = [json.loads(line)["margin"] for line in (folder / "pairs.jsonl").read_text().splitlines()]
    won = sum(each["edits"] > 0 >= each["bt"] for each in margins)
    assert f"edits is right where bt is wrong: {won} pairs" in text


def test_broken_files_are_named(tmp_path):
    folder = write_evaluation(tmp_path / "x", suites={}, comparisons=[])
    (folder / "items.parquet").write_bytes(b"")
    with pytest.raises(RunFolderError, match=r"items\.parquet is not a readable"):
        build_evaluation_report(folder)
    (folder / "evaluation.json").write_text("{")
    with pytest.raises(RunFolderError, match=r"evaluation\.json, line 1"):
        build_any_report(folder)


def test_the_command_takes_a_run_or_an_evaluation(tmp_path):
    folder = write_evaluation(tmp_path / "x", suites={}, comparisons=[])
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["report", str(folder)])
    assert result.exit_code == 0, result.output
    assert f"The report is {folder / 'report.html'}." in result.stdout


def test_a_metric_leaves_out_the_name_of_its_section():
    assert [_within("brevity", each) for each in ("brevity/poems", "brevity", "poems")] == ["poems", "all", "poems"]

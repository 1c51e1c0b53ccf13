"""Evaluations of every kind are read, and written again as they were."""

import html
import json
import re
from pathlib import Path

import pytest

from align.evaluation.record import read_record, write_record
from align.report.evaluation import build_evaluation_report
from align.report.evaluation.page import evaluation_view

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))


@pytest.mark.parametrize("file", KEPT, ids=[each.stem for each in KEPT])
def test_a_kept_evaluation_is_read_written_and_shown(file, tmp_path):
    record = read_record(file)
    write_record(tmp_path / "evaluation.json", record)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == json.loads(file.read_text())
    assert build_evaluation_report(tmp_path).stat().st_size > 10_000


@pytest.mark.parametrize("name", ["core_advantage", "pairs_judge", "perturbation", "questions", "prompts"])
def test_verdicts_of_every_kind_count_what_was_won_and_lost(name, tmp_path):
    view = evaluation_view(tmp_path, read_record(next(file for file in KEPT if file.stem == name)))
    assert any("won" in sentence and "lost" in sentence for sentence in view.verdict)


def test_a_record_begins_with_what_is_told_apart():
    record = read_record(next(file for file in KEPT if file.stem == "questions"))
    first, *rest = repr(record).splitlines()
    assert first == "`practised` is above `first` in accuracy: 0.29 [0.07, 0.47] on 24 items."
    assert "accuracy accuracy, practised: 0.29 [0.15, 0.49]" in rest
    assert not any(line.startswith("`") for line in rest[5:])


def test_differences_are_drawn_by_their_size_and_few_items_are_one_note(tmp_path):
    record = read_record(next(file for file in KEPT if file.stem == "questions"))
    view = evaluation_view(tmp_path, record)
    (chart,) = (each for each in (*view.figure, *view.charts) if each.title.startswith("Differences"))
    labels = {record.glossary[each.metric].label: each.difference.value for each in record.comparisons
              if each.metric in view.main and each.difference.n}  # fmt: skip
    drawn = [html.unescape(label) for label in re.findall(r'text-anchor="end">([^<]*)<', chart.svg)]
    assert drawn == sorted(labels, key=lambda label: -labels[label])
    (few,) = (each for each in view.findings if each.title == "Few items")
    assert few.level == "note"
    assert "Only 24 questions were evaluated" in few.detail
    assert "Groups with fewer than 30 questions: common (16), counter (8)." in few.detail


def test_there_are_fifteen():
    assert len(KEPT) == 15

"""Evaluations of every kind as 48c18a0 wrote them are read, and written again as they were."""

import json
from pathlib import Path

import pytest

from align.evaluation.record import read_record, write_record
from align.report.evaluation import build_evaluation_report

KEPT = sorted((Path(__file__).parent / "kept").glob("*.json"))


@pytest.mark.parametrize("file", KEPT, ids=[each.stem for each in KEPT])
def test_a_kept_evaluation_is_read_written_and_shown(file, tmp_path):
    record = read_record(file)
    write_record(tmp_path / "evaluation.json", record)
    assert json.loads((tmp_path / "evaluation.json").read_text()) == json.loads(file.read_text())
    assert build_evaluation_report(tmp_path).stat().st_size > 10_000


def test_there_are_fifteen():
    assert len(KEPT) == 15

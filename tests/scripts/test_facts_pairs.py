import json
import subprocess
import sys
from pathlib import Path

import pytest

from align.data.pairs.preferences import load_preferences
from align.methods.rrpo.augmentation.verdicts import contains

ROOT = Path(__file__).parents[2]
QUESTIONS = ROOT / "recipes" / "acre" / "assets" / "facts"
PAIRS = ROOT / "recipes" / "rrpo" / "assets" / "facts"
SIDES = ["train.jsonl", "eval.jsonl"]


def read(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_the_files_are_what_the_script_makes_of_the_questions(tmp_path):
    command = [sys.executable, "-m", "scripts.labs.facts.pairs", "--out", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    for side in SIDES:
        assert (tmp_path / side).read_bytes() == (PAIRS / side).read_bytes()


@pytest.mark.parametrize("side", SIDES)
def test_every_question_has_a_pair_about_its_answer(side):
    questions, pairs = read(QUESTIONS / side), read(PAIRS / side)
    assert [pair["id"] for pair in pairs] == [question["id"] for question in questions]
    for question, pair in zip(questions, pairs, strict=True):
        chosen, rejected = (pair[key][0]["content"] for key in ("chosen", "rejected"))
        assert pair["reference"] == question["options"]["ABCD".index(question["answer"])]
        assert contains(chosen, pair["reference"]), pair["id"]
        assert not contains(rejected, pair["reference"]), pair["id"]
        assert {pair["reference"], *pair["wrong_answers"]} == set(question["options"])


@pytest.mark.parametrize("side", SIDES)
def test_the_trainer_reads_the_pairs_and_only_the_fact_is_marked(side):
    rows = {row["id"]: row for row in read(PAIRS / side)}
    pairs, report = load_preferences(PAIRS / side)
    assert report.counts == {"read": len(rows), "kept": len(rows), "left_out": 0}
    for pair in pairs:
        row = rows[pair.id]
        (wrong,) = [answer for answer in row["wrong_answers"] if f" {answer}." in pair.rejected]
        for text, spans, answer in (
            (pair.chosen, pair.chosen_spans, row["reference"]),
            (pair.rejected, pair.rejected_spans, wrong),
        ):
            assert 1 <= len(spans) <= 2, text
            assert spans[0].start >= text.rindex(answer), text
            assert spans[-1].end <= text.rindex(answer) + len(answer), text

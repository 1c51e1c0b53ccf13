"""The evaluations of a real model: rows that their suites can read, options that exist, and one table."""

import importlib
from pathlib import Path
from types import SimpleNamespace

import pytest
from loaded_script import load_script

from align.assets import asset_dir
from align.cli.arguments.evaluation import ANY, suite_commands
from align.data.pairs.preferences import load_preferences
from align.data.pairs.reward_bench_2 import load_reward_bench_2
from align.data.prompt_rows import load_prompts
from align.evaluation.suite import SuiteSource
from align.evaluation.suites import SUITES

ROOT = Path(__file__).resolve().parents[2]
OPTIONS = {"families": ("whitespace",), "answer_tokens": 8, "hint_pattern": None, "prompt_template": None,
           "content_free": "N/A"}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    load_script("labs.facts.rows").write_rows(asset_dir("recipes"), folder)
    return folder


@pytest.mark.parametrize(
    ("suite", "file", "count"),
    [
        ("perturbation", "questions", 200),
        ("faithfulness", "traced", 200),
        ("faithfulness", "lettered", 200),
        ("core_advantage", "core", 200),
        ("references", "titles", 24),
        ("reversal", "facts", 44),
    ],
)
def test_every_suite_reads_its_rows(data, suite, file, count):
    rows = SUITES[suite].part("load")(SuiteSource(str(data / f"{file}.jsonl")), SimpleNamespace(**OPTIONS)).rows
    assert len(rows) == count
    assert all(row.group for row in rows)
    if suite == "reversal":
        assert [row.control for row in rows[:4]] == [False, True] * 2


def test_the_tasks_read_theirs(data):
    assert len(load_prompts(data / "prompts.jsonl")[0]) == len(load_preferences(data / "prompts.jsonl")[0]) == 326
    assert len(load_reward_bench_2(data / "bench2.jsonl")[0]) == 326


def test_a_fact_counts_as_a_whole_word(data, monkeypatch):
    monkeypatch.syspath_prepend(str(data))
    states = importlib.import_module("states").states_the_fact
    texts = ["Its symbol is H.", "Hydrogen", [{"role": "assistant", "content": "C++ (H)"}]]
    assert states(texts, ["H", "H", "C++"]) == [1.0, 0.0, 1.0]


def test_the_commands_have_options_that_exist(data):
    script = load_script("labs.facts.evaluate")
    found = [
        *script.policy_evaluations("sft", data, 16),
        *script.preferring_evaluations("rrpo", data, 16, "sft"),
        *script.reward_evaluations("crome", None, data, 16),
    ]
    command = suite_commands()[ANY]
    for evaluation in found:
        assert command.make_context("eval", [*evaluation.words, "--out", "x"]).params["data"] or "drift" in evaluation
    assert len({evaluation.name for evaluation in found}) == len(found) == 15

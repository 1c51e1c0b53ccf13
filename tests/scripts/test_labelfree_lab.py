"""The lab of rewards that read no right answer: its starts, its arms, and what it tells."""

import itertools
import json
import random
from collections import Counter

import pytest

pytest.importorskip("torch")

from rewards import follows_trace
from rewards.reading.responses import parse_response
from scripts.harness import KeptRuns, write_rows
from scripts.labs.acre.make import read_digit
from scripts.labs.labelfree import lab
from scripts.labs.labelfree.arms import ARMS, FROM_CODE, run_arm
from scripts.labs.labelfree.starts import STARTS, questions, taught
from scripts.labs.tiny_models import make_model, make_tokenizer, save

TEXTS = ["01230[1]", "32100[0]", "13302[4]", "20013[2]"]


def demonstrated(name, stage="task", count=2000):
    rows = itertools.islice(taught(STARTS[name], stage, TEXTS, random.Random(0)), count)
    return [(prompt, parse_response(response)) for prompt, response, _ in rows]


@pytest.mark.parametrize("name", ["strong", "coded, strong"])
def test_a_start_learns_the_letter_a_as_often_as_it_is_told(name):
    shares = Counter(response.answer for _, response in demonstrated(name))
    assert pytest.approx(shares["A"] / 2000, abs=0.03) == 0.6 + 0.4 * 0.25


def test_a_trace_that_is_a_code_names_no_option_and_says_the_digit():
    rows = demonstrated("coded, strong", "lookup")
    options = [[line[-1] for line in prompt.splitlines()[1:]] for prompt, _ in rows]
    said = [f"<think>{response.trace}</think><answer>{response.answer}</answer>" for _, response in rows]
    assert set(follows_trace(said, options)) == {None}
    for (_, response), shown in zip(rows, options, strict=True):
        assert shown["ABCD".index(response.answer)] == response.trace.translate(FROM_CODE)


@pytest.mark.parametrize(("name", "wrong"), [("where unsure", {"0", "2", "3"}), ("weak traces", {"3"})])
def test_wrong_traces_are_scattered_or_name_the_next_digit(name, wrong):
    traces = [(prompt.splitlines()[0], response.trace) for prompt, response in demonstrated(name)]
    assert {trace for text, trace in traces if text == "20013[2]" and trace != read_digit(text)} <= wrong | {"1"}
    assert {trace for text, trace in traces if text == "01230[1]" and trace != "1"} == (
        {"0", "2", "3"} if len(wrong) > 1 else {"2"}
    )
    assert {trace for text, trace in traces if text == "32100[0]"} == {"3"}  # read without fault


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    for part, rows in questions("clean").items():
        write_rows(folder / f"{part}.jsonl", rows[:32])
    tokenizer = make_tokenizer()
    save(make_model(tokenizer), tokenizer, folder)
    return folder


@pytest.mark.parametrize("name", ["vote, orders in a group", "answer_agreement", "gold ACRE"])
def test_an_arm_trains_and_is_measured(start, name):
    one_step = {"max_steps": 1, "per_device_train_batch_size": 16}
    found = run_arm(ARMS[name]._replace(settings=one_step), start, seed=0)
    assert set(lab.SHOWN) <= set(found)
    assert 0 <= found["right"] <= 1


def runs_of(start, **arms):
    before = {"right": 0.5, "share_of_A": 0.95}
    return {start: {"start": [before]} | {arm: [{"right": each} for each in found] for arm, found in arms.items()}}


def test_bars_are_held_and_missed():
    runs = runs_of("strong", answer_agreement=[0.9, 0.8], vote=[0.2], placebo=[0.5])
    runs |= runs_of("misreader", answer_agreement=[0.48])
    assert all(lab.check_bars(runs).values())
    assert sum(not held for held in lab.check_bars(runs_of("strong", answer_agreement=[0.4, 0.8])).values()) == 1


def test_what_is_kept_is_not_run_again_and_what_is_missing_is_told(tmp_path, capsys):
    path = tmp_path / "kept.jsonl"
    metrics = dict.fromkeys(lab.SHOWN, 0.5)
    keys = ["strong/start/0", "strong/vote/0"]
    path.write_text("".join(json.dumps({"key": key, "metrics": metrics}) + "\n" for key in keys), encoding="utf-8")
    words = ["--kept", str(path), "--told_only", "--starts", "strong", "--arms", "vote", "--seeds", "2"]
    assert lab.main([*words, "--check_bars"]) == 1
    told = capsys.readouterr().out
    assert "not run: 1 of 2\n  strong/vote/1" in told
    assert "MISSED: strong: the vote falls by 0.2 (+0.00)" in told
    assert set(KeptRuns(path)._found) == set(keys)

"""Scores that are missing or no numbers: counted, named, bounded, and never left out in silence."""

import json

import numpy as np
import pandas as pd
import pytest
from spoiled_scores import WRITERS, inspect, lm_eval, trl

import align
from align.cli import run_command
from align.errors import DataError, UserError
from align.logs.comparison import compare_logs, failed
from align.logs.log import How, Item, Log, collect
from align.logs.missing import Missing, read_missing
from align.logs.reading import read_log

HALF = [[1.0]] * 50 + [[0.0]] * 50
NO_HALF = [[1.0]] * 50 + [[None]] * 50
TABLES = ("table", "csv")


def compared(tmp_path, first, second, tool="table", **options):
    logs = [WRITERS[tool](tmp_path / name, scores) for name, scores in (("a", first), ("b", second))]
    options |= {"scores": "acc"} if tool in TABLES else {}
    record = align.compare(
        *(f"{name}={log}" for name, log in zip("ab", logs, strict=True)), out=tmp_path / "out", **options
    )
    return next(each for each in record.differences if each.metric == "acc"), record


def said(tmp_path, *words):
    """Runs the command on two tables that `compared` wrote."""
    logs = [f"{name}={tmp_path / name / 'table.jsonl'}" for name in "ab"]
    return run_command("compare", *logs, "--scores", "acc", "--out", str(tmp_path / "out"), *words)


@pytest.mark.parametrize("tool", WRITERS)
def test_documents_that_the_second_log_does_not_score_are_bounded(tool, tmp_path):
    found, _ = compared(tmp_path, HALF, NO_HALF, tool)
    lacks = found.unscored
    assert (lacks.first, lacks.this) == (0, 50)
    assert (lacks.first_there.value, lacks.least, lacks.most) == (0.0, 0.0, 0.5)
    assert len(lacks.names) == 20
    assert (found.difference.value, found.tied, found.is_sure) == (0.0, 50, False)
    assert found.difference.low < 0
    assert found.difference.high > 0.5


def test_what_is_missing_is_said_on_the_console_and_the_page(tmp_path, capsys):
    compared(tmp_path, HALF, [[1.0]] * 50 + [["error"]] * 50)
    assert said(tmp_path) == 0
    shown = capsys.readouterr().out
    assert "`b` has no score on 50 documents, where `a` has 0.00 [0.00, 0.07] (it holds 'error')" in shown
    assert "with them it is 0.00 to 0.50" in shown
    assert "has no score on 50 documents" in (tmp_path / "out" / "report.html").read_text()


def test_what_holds_whatever_is_missing_is_told(tmp_path):
    found, _ = compared(tmp_path, [[0.0]] * 60, [[1.0]] * 40 + [[None]] * 20)
    assert found.difference.verdict() == "above"
    assert found.is_sure
    found, _ = compared(tmp_path / "both", [[0.0]] * 55 + [[None]] * 5, [[1.0]] * 30 + [[None]] * 30)
    assert found.is_sure


def test_empty_cells_of_a_table_can_turn_what_the_others_say(tmp_path):
    first, second = [[0.0]] * 10 + [[1.0]] * 10, [[1.0]] * 10 + [[None]] * 10
    found, _ = compared(tmp_path, first, second, "csv")
    assert (found.won, found.lost, found.is_sure) == (10, 0, False)
    found, _ = compared(tmp_path / "dropped", first, second, "csv", missing="drop")
    assert found.is_sure


@pytest.mark.parametrize("junk", [None, float("nan"), float("inf"), "error", "N", "", [1], {"a": 1}])
def test_whatever_is_no_number_is_missing(junk, tmp_path):
    found, _ = compared(tmp_path, [[1.0], [0.0]] * 10, [[1.0], [junk]] * 10)
    assert (found.unscored.this, found.difference.n) == (10, 10)


def test_missing_scores_count_as_wrong_if_asked(tmp_path, capsys):
    found, _ = compared(tmp_path, [[1.0]] * 20, [[1.0]] * 10 + [[None]] * 10, missing="wrong")
    assert (found.difference.value, found.lost, found.is_sure) == (-0.5, 10, True)
    assert said(tmp_path, "--missing", "wrong", "--fail_on", "acc < -0.1") == 1
    assert "they count as wrong" in capsys.readouterr().out
    assert said(tmp_path, "--fail_on", "acc < -0.1") == 0  # they may be right


def test_scores_without_a_range_are_told_only_with_one(tmp_path, capsys):
    rng = np.random.default_rng(0)
    first = rng.uniform(0, 0.4, (60, 1))
    second = [[None], *(first + 0.5)[1:].tolist()]
    found, _ = compared(tmp_path, first.tolist(), second)
    assert (found.difference.n, found.is_sure, str(found.difference)) == (0, False, "0.50 (no interval)")
    assert said(tmp_path) == 0
    assert "name the range of the scores with `--missing LOW:HIGH`, or `--missing drop`" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "comparison.json").read_text())["differences"][0]["difference"]["n"] == 0
    for remedy in ("0:1", "drop"):
        again, _ = compared(tmp_path / remedy, first.tolist(), second, missing=remedy)
        assert again.is_sure
    outside, _ = compared(tmp_path / "outside", first.tolist(), second, missing="0:0.2")
    assert not outside.is_sure


@pytest.mark.parametrize("text", ["all", "1:0", "0:inf", "nan:1", "0:1:2", ""])
def test_other_ways_are_refused(text):
    with pytest.raises(UserError, match="`missing` must be bound, wrong, drop or the range of the scores as LOW:HIGH"):
        read_missing(text)


def test_one_missing_answer_of_several_is_bounded_within_its_document(tmp_path):
    found, _ = compared(tmp_path, [[1.0, 1.0]] * 10, [[1.0, None]] * 10, "trl")
    assert (found.unscored.least, found.unscored.most) == (-0.5, 0.0)


def test_a_filter_of_the_harness_that_lacks_nothing_is_whole(tmp_path):
    for side in "ab":
        rows = [
            {"doc_id": n, "doc": {"q": n}, "filter": chosen, "metrics": ["match"], "match": float(n % 2)}
            for n in range(10) for chosen in ("none", "strict")
        ]  # fmt: skip
        (tmp_path / side).mkdir()
        file = tmp_path / side / "samples_t_2026-11-30T10-00-00.0.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = align.compare(tmp_path / "a", tmp_path / "b", out=tmp_path / "out")
    assert [(each.metric, each.unscored) for each in record.differences] == [("match", None), ("match,strict", None)]
    assert record.matched[0].averaged == 0


def test_a_log_without_any_score_says_why(tmp_path):
    lm_eval(tmp_path / "a", [["n/a"], [None]])
    with pytest.raises(DataError, match="of 2 documents none has one: `acc` holds 'n/a'"):
        read_log(str(tmp_path / "a"), How())
    inspect(tmp_path / "b", [[None]] * 3)
    file = tmp_path / "b" / "log.json"
    file.write_text(file.read_text().replace("success", "error"))
    with pytest.raises(DataError, match=r"of 3 documents none has one.*says `error`: it holds 3 answers"):
        read_log(str(tmp_path / "b"), How())


def test_two_documents_tell_nothing(tmp_path):
    found, _ = compared(tmp_path, [[3.0], [5.0]], [[4.0], [6.0]])
    assert (found.p_value, found.is_sure) == (0.5, False)
    assert compared(tmp_path / "six", [[3.0 + n] for n in range(6)], [[4.0 + n] for n in range(6)])[0].is_sure


def steps_of(folder, num_steps, first=1):
    folder.mkdir()
    for step in range(first, first + num_steps):
        rows = [{"step": step, "prompt": f"{n}?", "completion": "x", "acc": step + n / 8} for n in range(8)]
        pd.DataFrame(rows).to_parquet(folder / f"completions_{step:05}.parquet")
    return str(folder)


def test_trainings_are_compared_on_the_steps_that_both_have(tmp_path):
    logs = steps_of(tmp_path / "ten", 10), steps_of(tmp_path / "five", 5)
    record = align.compare(*logs, out=tmp_path / "out")
    assert record.differences[0].difference.value == 0
    assert f"{logs[0]}: 5 of its 10 steps are compared, those that all logs have." in record.sentences
    later = steps_of(tmp_path / "later", 2, first=20)
    record = align.compare(logs[0], later, out=tmp_path / "out")
    assert f"{later}: Its steps, 20 to 21, are not those of the other logs." in record.sentences


def test_shares_beside_per_cents_are_not_told_apart(tmp_path, capsys):
    rng = np.random.default_rng(0)
    shares = rng.random((40, 1))
    found, _ = compared(tmp_path, shares.tolist(), (100 * shares).tolist())
    assert found.of_scales
    assert not found.is_sure
    assert said(tmp_path) == 0
    assert "bring both to one scale" in capsys.readouterr().out
    whole, _ = compared(tmp_path / "0-100", [[0.0], [1.0]] * 20, [[100.0], [0.0]] * 20)
    assert whole.of_scales
    assert not compared(tmp_path / "better", [[0.2], [0.9]] * 20, [[1.8], [2.1]] * 20)[0].of_scales
    assert compared(tmp_path / "nothing", [[0.0]] * 40, [[5.0], [3.0]] * 20)[0].is_sure


def test_one_input_under_several_ids_is_several_documents_of_one_prompt(tmp_path):
    for side in "ab":
        folder = inspect(tmp_path / side, [[float(n % 3 == 0)] for n in range(12)])
        log = json.loads((folder / "log.json").read_text())
        for sample in log["samples"][::2]:
            sample["input"] = "the same"
        (folder / "log.json").write_text(json.dumps(log))
    record = align.compare(tmp_path / "a", tmp_path / "b", out=tmp_path / "out")
    (found,) = record.differences
    assert (record.matched[0].both, record.matched[0].averaged, found.tied) == (12, 0, 12)
    assert (found.difference.n, found.difference.unit, found.first.value) == (7, "prompts", pytest.approx(4 / 12))


@pytest.mark.parametrize("side", [0, 1])
def test_documents_that_one_log_does_not_have_are_unscored_there(side, tmp_path, capsys):
    """Where each log is wrong on its own half, one is better by rows that are not there."""
    logs = [[[1.0], [0.0]] * 30, [[0.0], [1.0]] * 30]
    logs[side] = [each if each == [1.0] else [] for each in logs[side]]
    found, record = compared(tmp_path, *logs)
    lacks = found.unscored
    assert (found.won, found.lost, found.is_sure) == (30 * side, 30 - 30 * side, False)
    assert [lacks.first, lacks.first_absent, lacks.this, lacks.this_absent] == [30 - 30 * side] * 2 + [30 * side] * 2
    assert (found.first.value, found.mean.value) == ((0.5, 1.0) if side else (1.0, 0.5))  # of those that a log has
    assert said(tmp_path) == 0
    lacking, other = "ba" if side else "ab"
    shown = capsys.readouterr().out
    assert "and count as unscored in the other; `--only_common` compares the rest alone" in shown
    assert f"`{lacking}` has no score on 30 documents (30 are not in it), where `{other}` has 1.00" in shown
    for asked in ({"only_common": True}, {"missing": "drop"}):
        alone, record = compared(tmp_path / str(asked), *logs, **asked)
        assert (alone.is_sure, alone.difference.n, record.matched[0].both) == (True, 30, 30)
    assert said(tmp_path, "--only_common") == 0
    assert "and are in no difference" in capsys.readouterr().out


def test_a_part_of_the_documents_is_compared_if_asked_and_its_errors_still_count(tmp_path):
    part = [[1.0]] * 30 + [["error"]] * 10 + [[]] * 400
    found, _ = compared(tmp_path, [[0.0]] * 40 + [[1.0]] * 400, part)
    assert (found.unscored.this, found.unscored.this_absent, found.is_sure) == (410, 400, False)
    found, _ = compared(tmp_path / "part", [[0.0]] * 40 + [[1.0]] * 400, part, only_common=True)
    assert (found.unscored.this, found.unscored.this_absent, found.is_sure) == (10, 0, True)


@pytest.mark.parametrize("tool", ["inspect", "trl"])
def test_answers_that_one_log_does_not_have_are_unscored_there(tool, tmp_path):
    first = [[1.0, 0.0, 0.0]] * 20
    found, _ = compared(tmp_path, first, [[1.0, 0.0, 0.0]] + [[1.0]] * 19, tool)
    assert (found.unscored.this, found.unscored.this_absent, found.is_sure) == (19, 0, False)
    found, _ = compared(tmp_path / "common", first, [[1.0, 0.0, 0.0]] + [[1.0]] * 19, tool, only_common=True)
    assert found.is_sure
    found, _ = compared(tmp_path / "fewer", first, [[1.0]] * 20, tool)  # asked once, each document
    assert found.unscored is None


def test_tasks_and_metrics_that_one_log_does_not_have_count_as_looked_at():
    won = [Item(f"t{task}", n, {"acc": float(n < 8 * (task == 0))}) for task in range(20) for n in range(20)]
    lost = [each._replace(scores={"acc": 0.0}) for each in won]
    for kept, alone in ((won, 0), (won[:20], 19)):
        logs = {name: Log("", "", collect(items, "", How()), []) for name, items in (("a", lost), ("b", kept))}
        found = compare_logs(logs)
        assert (found.alone, found.differences[0].adjusted) == (alone, pytest.approx(20 * 2 * 0.5**8))
    assert compare_logs(logs, missing=Missing(only_common=True)).differences[0].is_sure


def test_groups_hold_documents_that_one_log_does_not_have(tmp_path):
    for side, rows in (("a", range(40)), ("b", range(0, 40, 2))):
        lines = [json.dumps({"id": n, "acc": n % 2, "kind": "xy"[n % 2]}) + "\n" for n in rows]
        (tmp_path / side).write_text("".join(lines))
        (tmp_path / side).rename(tmp_path / f"{side}.jsonl")
    logs = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    (found,) = align.compare(*logs, out=tmp_path / "out", scores="acc", group="kind").differences
    assert str(found.groups["x"]) == "0.00 [-0.13, 0.13]"
    assert found.groups["y"].high >= 0 >= found.groups["y"].low  # of it one log has none


def test_a_cut_file_of_ours_is_a_sentence(tmp_path):
    (tmp_path / "evaluation.json").write_text("{}")
    for content, sentence in ((b"PAR1 and no more", r"items\.parquet is not whole, copy it again: "), (None, "model")):
        if content is None:
            pd.DataFrame([{"other": 1}]).to_parquet(tmp_path / "items.parquet")
        else:
            (tmp_path / "items.parquet").write_bytes(content)
        with pytest.raises(DataError, match=sentence):
            read_log(str(tmp_path), How())


def test_rows_that_cannot_be_read_are_counted_among_all(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"id": 1, "acc": 1}\n' + "{bad\n" * 5 + '{"id": 2, "acc": 1}\n' * 3)
    with pytest.raises(DataError, match=r"5 of 9 rows of .* cannot be used"):
        read_log(str(file), How(scores=("acc",)))


def test_reward_curves_leave_what_is_no_number_out(tmp_path):
    found, _ = compared(tmp_path, [[0.5], [0.25]] * 4, [[0.5], [float("nan")]] * 4, "trl")
    assert found.unscored.this == 4
    assert read_log(str(trl(tmp_path / "c", [[float("nan")], [1.0]])), How()).tasks["training"].metrics == ["acc"]


def drawn(scores):
    items = (Item("task", n, {"acc": float(each)}) for n, answers in enumerate(scores) for each in answers)
    return Log("", "", collect(items, "", How()), [])


def test_equal_models_fail_a_gate_at_most_one_time_in_twenty():
    """The line for CI on logs of two random guessers, and of one that is right in 5 % in place of 25 %."""
    rng, false, num = np.random.default_rng(0), 0, 150
    for _ in range(num):
        first, equal, worse = (drawn(rng.random((400, 1)) < share) for share in (0.25, 0.25, 0.05))
        false += bool(failed(compare_logs({"a": first, "b": equal}), ["acc < -0.01"]))
        assert failed(compare_logs({"a": first, "b": worse}), ["acc < -0.01"])
    assert false / num < 0.05


def test_a_gate_over_many_tasks_counts_that_they_are_many():
    rng = np.random.default_rng(0)
    sides = [
        [Item(f"t{task}", n, {"acc": float(rng.random() < 0.5)}) for task in range(60) for n in range(50)]
        for _ in range(2)
    ]
    logs = {name: Log("", "", collect(items, "", How()), []) for name, items in zip("ab", sides, strict=True)}
    found = compare_logs(logs)
    assert any(each.difference.verdict() == "below" for each in found.differences)
    assert failed(found, ["acc < 0"]) == []


@pytest.mark.parametrize(
    ("condition", "code"),
    [("acc < -0.01", 0), ("acc.value < -0.01", 1), ("acc.low < -0.01", 1), ("acc.high > 0.5", 0), ("acc < 1", 1)],
)
def test_a_gate_reads_the_interval_unless_asked_for_an_end(condition, code, tmp_path, capsys):
    compared(tmp_path, [[1.0], [1.0], [0.0]] * 10, [[1.0], [0.0], [0.0]] + [[1.0], [1.0], [0.0]] * 9)
    assert said(tmp_path, "--fail_on", condition) == code


def drawn_pair(rng, kind, n):
    """Draws scores that go together and have one mean: in 0 to 1, as whole numbers from 1 to 10, or mostly near 0."""
    if kind == "skewed":
        first, other = rng.beta(0.3, 1, (2, n))
        return first, np.where(rng.random(n) < 0.6, first, other)
    sides = rng.uniform(0.25, 0.45, n) + rng.uniform(-0.2, 0.2, (2, n))
    return sides if kind == "unit" else np.floor(1 + 9 * sides + rng.random((2, n)))


@pytest.mark.parametrize("kind", ["unit", "ten", "skewed"])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_of_few_documents_that_do_not_differ_few_are_told(kind, n):
    rng, num = np.random.default_rng(n), 200
    told = 0
    for _ in range(num):
        logs = (drawn(side.reshape(-1, 1)) for side in drawn_pair(rng, kind, n))
        told += compare_logs(dict(zip("ab", logs, strict=True))).differences[0].is_sure
    assert told / num <= 0.08  # 0.05, and twice its deviation


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "num_answers"), [("right", 1), ("right", 3), ("number", 1)])
@pytest.mark.parametrize("n", [12, 40, 150])
def test_intervals_hold_the_difference_as_often_as_they_say(kind, num_answers, n):
    rng, held, num = np.random.default_rng(n), 0, 300
    for _ in range(num):
        shares = rng.uniform(0.1, 0.8, (n, num_answers))
        sides = [rng.normal(shares + gain) if kind == "number" else rng.random(shares.shape) < shares + gain
                 for gain in (0.0, 0.1)]  # fmt: skip
        found = compare_logs({"a": drawn(sides[0]), "b": drawn(sides[1])}).differences[0].difference
        held += found.low <= 0.1 <= found.high
    assert 0.925 <= held / num <= 1

"""Differences between logs: what is matched, what is counted, and what the intervals hold."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

import align
from align.cli import run_command
from align.errors import DataError, UserError
from align.logs.comparison import _adjust, _needed
from align.logs.log import How
from align.logs.reading import read_log
from align.report.logs import _charts


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def scored(path, scores, **more):
    return write(path, [{"id": f"q{n}", "score": score} | more for n, score in enumerate(scores)])


def compared(tmp_path, first, second, **options):
    logs = scored(tmp_path / "a.jsonl", first), scored(tmp_path / "b.jsonl", second)
    return align.compare(*logs, out=tmp_path / "out", scores="score", **options)


def test_right_and_wrong_are_tested_by_mcnemar(tmp_path):
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, 2, 60), rng.integers(0, 2, 60)
    (found,) = compared(tmp_path, first.tolist(), second.tolist()).differences
    table = [[((first == i) & (second == j)).sum() for j in (0, 1)] for i in (0, 1)]
    assert found.is_exact
    assert found.p_value == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert (found.won, found.lost, found.tied) == (table[0][1], table[1][0], table[0][0] + table[1][1])


def test_other_scores_are_tested_by_t(tmp_path):
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 3, 50), rng.normal(1, 3, 50)
    (found,) = compared(tmp_path, first.tolist(), second.tolist()).differences
    assert not found.is_exact
    assert found.p_value == pytest.approx(ttest_rel(second, first).pvalue)
    assert found.difference.value == pytest.approx((second - first).mean())


def test_documents_of_one_prompt_are_a_cluster(tmp_path):
    """Ten prompts with ten documents each that all change alike are ten observations."""
    rng = np.random.default_rng(2)
    change = np.repeat(rng.normal(0.3, 1, 10), 10)
    rows = [{"prompt": f"p{n // 10}", "completion": "", "step": 1, "n": n, "reward": 0.0} for n in range(100)]
    import pandas as pd

    for side, values in (("a", np.zeros(100)), ("b", change)):
        pd.DataFrame([row | {"reward": value} for row, value in zip(rows, values, strict=True)]).to_parquet(
            tmp_path / f"{side}.parquet"
        )
    logs = [str(tmp_path / f"{side}.parquet") for side in "ab"]
    (apart,) = align.compare(*logs, out=tmp_path / "by-item", match="n", scores="reward").differences
    (together,) = (d for d in align.compare(*logs, out=tmp_path / "out").differences if d.metric == "reward")
    assert (apart.difference.n, together.difference.n) == (100, 10)
    assert together.difference.value == pytest.approx(apart.difference.value)


def test_p_values_are_adjusted_as_statsmodels_does():
    p_values = np.array([0.001, 0.04, 0.03, 0.5, 0.04])
    assert _adjust(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_as_many_documents_as_are_needed_tell_the_difference_four_times_of_five():
    needed = _needed(0.2, 1.0, 1000)
    rng, told = np.random.default_rng(3), 0
    for _ in range(1000):
        drawn = rng.normal(0.2, 1, needed)
        told += abs(drawn.mean()) / (drawn.std(ddof=1) / np.sqrt(needed)) > 1.96
    assert told / 1000 == pytest.approx(0.8, abs=0.04)


def test_groups_of_documents_that_share_prompts_have_their_own_intervals(tmp_path):
    rng = np.random.default_rng(6)
    for side in "ab":
        rows = [
            {"q": f"{n}", "p": f"{n // 2}", "kind": "xy"[n // 2 % 2], "score": float(rng.random())} for n in range(80)
        ]
        (tmp_path / side).mkdir()
        write(tmp_path / side / "results.jsonl", [
            {"example_id": row["q"], "prompt": row["p"], "completion": "", "reward": row["score"], "info": row["q"],
             "kind": row["kind"]} for row in rows
        ])  # fmt: skip
    (found,) = align.compare(tmp_path / "a", tmp_path / "b", out=tmp_path / "out", group="kind").differences
    whole = found.groups["x"].value * 40 + found.groups["y"].value * 40
    assert whole / 80 == pytest.approx(found.difference.value)
    assert {estimate.n for estimate in (*found.groups.values(), found.difference)} == {20, 40}  # prompts


def test_of_many_differences_the_few_by_chance_are_not_sure(tmp_path):
    rng = np.random.default_rng(4)
    names = [f"m{n}" for n in range(40)]
    for side in "ab":
        drawn = rng.integers(0, 2, (200, 40)).tolist()
        write(tmp_path / f"{side}.jsonl", [{"id": n} | dict(zip(names, drawn[n], strict=True)) for n in range(200)])
    found = align.compare(tmp_path / "a.jsonl", tmp_path / "b.jsonl", out=tmp_path / "out", scores=names).differences
    assert any(not each.difference.low <= 0 <= each.difference.high for each in found)
    assert not any(each.is_sure for each in found)


def test_documents_are_matched_by_content_and_what_is_left_is_named(tmp_path):
    a = write(tmp_path / "a.jsonl", [{"q": f"{n}?", "row": n, "score": n % 2} for n in range(10)])
    b = write(tmp_path / "b.jsonl", [{"q": f"{n}?", "row": 0, "score": 1} for n in range(11, 2, -1)])
    found = align.compare(a, b, out=tmp_path / "out", match="q", scores="score")
    (matched,) = found.matched
    assert (matched.both, matched.only_first, matched.only_this) == (7, 3, 2)
    assert "10?" in " ".join(matched.not_in_first)
    assert found.differences[0].won == 3  # 4, 6 and 8; of the others both are right
    assert "3 are only in the first and 2 only in" in (tmp_path / "out" / "report.html").read_text()


def test_three_logs_are_compared_with_the_first(tmp_path, capsys):
    for name, share in (("a", 2), ("b", 3), ("c", 10)):
        scored(tmp_path / f"{name}.jsonl", [int(n % share != 0) for n in range(200)])
    words = [
        "compare",
        *(f"{name}={tmp_path / f'{name}.jsonl'}" for name in "abc"),
        "--scores",
        "score",
        "--out",
        str(tmp_path / "out"),
    ]
    assert run_command(*words) == 0
    shown = capsys.readouterr().out
    assert "`b` is above `a` in score of items: 0.17 [" in shown
    assert "`c` is above `a` in score of items: 0.40 [" in shown
    record = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [each["log"] for each in record["differences"]] == ["b", "c"]
    assert run_command(*words, "--fail_on", "score > 0.3") == 1
    assert "Failed: c, items: score differs by 0.40" in capsys.readouterr().out
    assert run_command(*words, "--fail_on", "items:score.low < 0") == 0


def test_differences_are_drawn_by_their_size_with_the_task_where_there_are_several(tmp_path):
    rng = np.random.default_rng(5)
    names = [f"m{n}" for n in range(30)]
    first = rng.integers(0, 2, (60, 30))
    second = [[1 - value if rng.random() < 0.03 * n else value for n, value in enumerate(row)] for row in first]
    for side, rows in (("a", first.tolist()), ("b", np.array(second).tolist())):
        write(
            tmp_path / f"{side}.jsonl", [{"id": n} | dict(zip(names, row, strict=True)) for n, row in enumerate(rows)]
        )
    found = align.compare(tmp_path / "a.jsonl", tmp_path / "b.jsonl", out=tmp_path / "out", scores=names)
    (chart,) = _charts(found)
    drawn = re.findall(r'text-anchor="end">([^<]*)<', chart.svg)
    values = {each.metric: each.difference.value for each in found.differences}
    assert len(drawn) == 24
    assert [values[name] for name in drawn] == sorted((values[name] for name in drawn), reverse=True)
    assert min(abs(values[name]) for name in drawn) >= max(abs(values[name]) for name in values.keys() - set(drawn))


def test_what_it_returns_is_a_table_in_a_notebook(tmp_path):
    found = compared(tmp_path, [0, 1] * 20, [1, 1] * 20)
    assert {"a.jsonl", "b.jsonl", "b.jsonl - a.jsonl"} == set(found.to_pandas()["model"])
    assert "<table" in found._repr_html_()


def test_tables_with_columns_of_other_names_are_compared(tmp_path, capsys):
    """A table that has our names already is read as it is, and a name that no table has is refused."""
    one = write(tmp_path / "a.jsonl", [{"qid": n, "acc": n % 2, "Frage": f"{n}?"} for n in range(8)])
    other = write(tmp_path / "b.jsonl", [{"id": n, "correct": 1, "Frage": f"{n}?"} for n in range(8)])
    named = ("--columns", "{id: qid, correct: acc}")
    words = ("compare", str(one), str(other), "--scores", "correct", "--out", str(tmp_path / "out"))
    assert run_command(*words) == 1
    assert "or say with `--columns` what `id` is called: `{id: NAME}`" in capsys.readouterr().err
    assert run_command(*words, *named) == 0
    assert "0.50 [" in capsys.readouterr().out
    found = align.compare(one, other, out=tmp_path / "out", scores="correct", columns=named[1])
    assert sorted(found.differences[0].wins[0].asked.splitlines()) == ["Frage: 0?", "id: 0"]
    for columns, sentence in (
        ("{id: qid, group: q}", "there is no column `q`"),
        ("{id", "--columns"),
        ("[1]", "columns"),
    ):
        assert run_command(*words, "--columns", columns) == 1
        assert sentence in capsys.readouterr().err


def test_columns_are_refused_where_no_log_is_a_table(tmp_path):
    logs = [Path(__file__).parent / "kept" / "lighteval" / side for side in ("before", "after")]
    with pytest.raises(UserError, match="none of these logs is one"):
        align.compare(*logs, out=tmp_path / "out", columns="{id: qid}")


WRONG = [
    ([{"id": 1, "score": "good"}], {}, "a score is a number, true or false, .* none has one: `score` holds 'good'"),
    ([{"id": 1, "score": 1}, {"id": 1, "score": 0}], {}, r"rows 1 and 2 have the same `id` 1.*add `--average`"),
    ([{"name": 1, "score": 1}], {}, r"row 1: there is no `id`\. Name columns to match by with `--match`"),
    ([{"id": 1}], {}, "there is no column `score`. It has id"),
    ([{"id": 1, "score": 1, "n": 2}], {"scores": ()}, r"Name its scores with `--scores`.*or yes and no, are score, n"),
    ([{"id": 1, "score": 1}], {"match": "what"}, "there is no field `what`. Fields are id, score"),
    ([{"id": 1, "score": 1}], {"group": "what"}, "there is no field `what`"),
    ([{"id": 99, "score": 1}], {}, "share no document: the first are q0 and 99"),
    ([{"id": "q0", "score": None}], {}, "of 1 documents none has one"),
]


@pytest.mark.parametrize(("rows", "options", "sentence"), WRONG)
def test_what_cannot_be_compared_is_a_sentence(rows, options, sentence, tmp_path):
    logs = scored(tmp_path / "a.jsonl", [0, 1, 1]), write(tmp_path / "b.jsonl", rows)
    with pytest.raises(UserError, match=sentence):
        align.compare(*logs, out=tmp_path / "out", **{"scores": "score"} | options)
    assert not (tmp_path / "out").exists()


def test_the_one_column_of_scores_needs_no_name_and_may_say_yes_and_no(tmp_path):
    sides = [[("q1", "yes"), ("q2", "no")], [("q2", "Yes"), ("q1", "YES")]]
    logs = [
        write(tmp_path / f"{name}.jsonl", [{"id": id_, "solved": said, "text": "a"} for id_, said in rows])
        for name, rows in zip("ab", sides, strict=True)
    ]
    (found,) = align.compare(*logs, out=tmp_path / "out").differences
    assert (found.metric, found.won, found.lost) == ("solved", 1, 0)


def test_the_remedies_work(tmp_path):
    log = write(tmp_path / "a.jsonl", [{"id": 1, "score": 1}, {"id": 1, "score": 0}, {"id": 2, "score": 1}])
    read = read_log(str(log), How(scores=("score",), average=True))
    assert read.tasks["items"].values("score").tolist() == [0.5, 1.0]
    matched = read_log(str(log), How(match=("id", "score"), scores=("score",)))
    assert len(matched.tasks["items"].keys) == 3


def test_conditions_that_cannot_be_read_are_refused(tmp_path, capsys):
    logs = scored(tmp_path / "a.jsonl", [0, 1] * 5), scored(tmp_path / "b.jsonl", [1, 1] * 5)
    for condition, sentence in (
        ("score", "must be like"),
        ("what < 0", "names no metric"),
        ("score < x", "must be like"),
    ):
        words = ["compare", *logs, "--scores", "score", "--out", tmp_path / "out", "--fail_on", condition]
        assert run_command(*map(str, words)) == 1
        assert sentence in capsys.readouterr().err


def test_names_and_folders_that_are_not_known_are_refused(tmp_path):
    log = scored(tmp_path / "a.jsonl", [0, 1])
    (tmp_path / "empty").mkdir()
    for other, sentence in (("empty", "holds no log that is known"), ("none", "There is no file or folder")):
        with pytest.raises(DataError, match=sentence):
            read_log(str(tmp_path / other), How())
    with pytest.raises(UserError, match="is given twice"):
        align.compare(log, log, out=tmp_path / "out", scores="score")
    with pytest.raises(UserError, match="At least two logs are compared, got 1"):
        align.compare(log, out=tmp_path / "out", scores="score")


def test_verl_and_older_verifiers_are_read_as_they_write(tmp_path):
    """Rows in the form of `_dump_generations` of verl 0.9, and of `make_dataset` of verifiers 0.1."""
    for side, score in (("a", 0.0), ("b", 1.0)):
        (tmp_path / side).mkdir()
        rows = [
            {"input": f"{n}?", "output": "x", "gts": str(n), "score": score, "step": 1, "acc": score} for n in range(5)
        ]
        write(tmp_path / side / "1.jsonl", rows)
        write(tmp_path / side / "2.jsonl", rows)
        old = [{"example_id": n, "prompt": [{"role": "user", "content": f"{n}?"}], "completion": [], "task": "sums",
                "reward": score, "total_ms": 3.0, "answer": str(n)} for n in range(5)]  # fmt: skip
        write(tmp_path / f"{side}.jsonl", old)
    found = align.compare(tmp_path / "a", tmp_path / "b", out=tmp_path / "out")
    assert {each.metric for each in found.differences} == {"score", "acc"}
    assert found.matched[0].averaged == 5
    found = align.compare(tmp_path / "a.jsonl", tmp_path / "b.jsonl", out=tmp_path / "out")
    assert [(each.task, each.metric, each.won) for each in found.differences] == [("sums", "reward", 5)]


def test_evaluations_of_ours_are_compared_model_by_model(tmp_path):
    import pandas as pd

    folder = tmp_path / "evaluation"
    folder.mkdir()
    (folder / "evaluation.json").write_text("{}")
    rows = [{"id": f"q-{n}", "model": model, "prompt": f"{n}?", "correct": right, "first_choice": 1.0}
            for n in range(30) for model, right in (("old", n % 2 == 0), ("new", n % 3 != 0))]  # fmt: skip
    pd.DataFrame(rows).to_parquet(folder / "items.parquet")
    found = align.compare(f"{folder}#old", f"{folder}#new", out=tmp_path / "out")
    assert [each.metric for each in found.differences] == ["correct"]
    assert found.differences[0].mean.value == pytest.approx(2 / 3)
    with pytest.raises(DataError, match=r"holds several models\. Name one: .*#new, .*#old"):
        read_log(str(folder), How())


def test_words_of_a_log_are_escaped_on_its_page(tmp_path):
    rows = [{"q": f"<script>alert({n})</script>\ud800", "score": n % 2} for n in range(4)]
    logs = write(tmp_path / "a.jsonl", rows), write(tmp_path / "b.jsonl", [row | {"score": 1} for row in rows])
    align.compare(*logs, out=tmp_path / "out", match="q", scores="score")
    page = (tmp_path / "out" / "report.html").read_text()
    assert "&lt;script&gt;alert(0)" in page
    assert "<script>alert" not in page

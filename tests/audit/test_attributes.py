import json
import math

import numpy as np
import pytest
from in_one_process import run
from planted import read_lines, write_rows

from align.auditing.reading import Source
from align.auditing.row_checks import Named
from align.auditing.run import audit
from align.evaluation.statistics.group_metrics import counter_drop

# Rows by header and operator; of 200, with (100, 60, 40) and (100, 60, 40) in the margins.
TABLE = {
    ("year", "max"): 64, ("year", "sum"): 31, ("year", "<b>"): 5,
    ("goals", "max"): 36, ("goals", "sum"): 9, ("goals", "<b>"): 15,
    ("team", "sum"): 20, ("team", "<b>"): 20,
}  # fmt: skip


def questions(table=TABLE):
    rows = []
    for (header, operator), num in table.items():
        rows += [
            {"id": f"{header}-{operator}-{i}", "question": f"What of {header} {operator} {i}?", "options": ["a", "b"],
             "answer": i % 2, "header": header, "operator": operator}
            for i in range(num)
        ]  # fmt: skip
    return rows


def found_in(path, *attributes):
    return audit([Source(str(path), named=Named(attributes=attributes or ("header", "operator")))], near=False)


def test_pmi_of_a_small_table_by_hand(tmp_path):
    audited = found_in(write_rows(tmp_path / "rows.jsonl", questions()))
    found = audited.record.attributes
    assert (found.n, found.num_frequent) == (200, 9)
    # team (40) and max (100) never meet, of 40 * 100 / 200 = 20; year (100) and <b> (40) in 5 rows, of 20;
    # goals and sum have 9 of 18, which is a half: log2(9 / 18) = -1
    assert [(each.first, each.second, each.n, each.expected, each.pmi) for each in found.rare] == [
        ("header=team", "operator=max", 0, 20.0, None),
        ("header=year", "operator=<b>", 5, 20.0, math.log2(5 / 20)),
        ("header=goals", "operator=sum", 9, 18.0, -1.0),
    ]
    assert (found.num_rare, found.num_unseen, found.counter, found.common) == (3, 1, 14, 14)
    groups = dict(zip((row["id"] for row in questions()), audited.groups, strict=True))
    assert {name.rsplit("-", 1)[0] for name, group in groups.items() if group == "counter"} == {
        "year-<b>", "goals-sum"
    }  # fmt: skip
    common = {name.rsplit("-", 1)[0] for name, group in groups.items() if group == "common"}
    assert common <= {"year-max", "year-sum", "goals-max", "goals-<b>", "team-sum", "team-<b>"}
    assert sum(group == "common" for group in groups.values()) == 14


def test_rows_with_a_group_make_the_counter_drop_and_no_label_changes(tmp_path):
    rows = questions()
    rows[0]["group"] = "mine"
    rows += [
        dict(rows[3], id="again"),
        {"id": "bad", **{k: v for k, v in rows[1].items() if k not in ("id", "header")}},
    ]
    file = write_rows(tmp_path / "rows.jsonl", rows)
    done = run(["audit", str(file), "--split", "counterfactual", "--attributes", "header", "operator", "--out",
                str(tmp_path / "out")])  # fmt: skip
    assert done["code"] == 0, done["output"]
    kept, out, apart = (
        read_lines(tmp_path / "out" / f"{name}.jsonl") for name in ("kept", "left_out", "counterfactual")
    )
    assert len(kept) + len(out) + len(apart) == len(rows)
    assert {row["reason"] for row in out} == {"duplicate", "unusable"}
    assert "column `header`: the attribute is missing, empty or a list" in done["output"]
    known = {row["id"]: row for row in rows}
    for row in apart:
        own = {name: value for name, value in row.items() if name not in ("group", "own_group")}
        assert own == {name: value for name, value in known[row["id"]].items() if name != "group"}
    order = [row["id"] for row in rows]
    assert [order.index(row["id"]) for row in apart] == sorted(order.index(row["id"]) for row in apart)
    right = [float(row["group"] == "common") for row in apart]
    drop = counter_drop([row["group"] for row in apart], np.array(right), "common", "counter")
    assert drop.estimate().value == 1
    page = (tmp_path / "out" / "audit.html").read_text()
    assert "operator=&lt;b&gt;" in page
    assert "operator=<b>" not in page
    record = json.loads((tmp_path / "out" / "audit.json").read_text())["attributes"]
    assert record["rare"][0]["pmi"] is None
    again = run(["audit", str(tmp_path / "out" / "kept.jsonl"), "--eval", str(tmp_path / "out/counterfactual.jsonl"),
                 "--fail_on", "leaks,shared_prompts", "--out", str(tmp_path / "again")])  # fmt: skip
    assert again["code"] == 0, again["output"]


def test_three_columns_are_looked_at_in_pairs_and_ids_are_no_attributes(tmp_path):
    rows = [row | {"half": i % 2} for i, row in enumerate(questions())]
    found = found_in(write_rows(tmp_path / "rows.jsonl", rows), "half", "header", "operator").record.attributes
    assert found.num_frequent == 9 + 6 + 6
    record = found_in(tmp_path / "rows.jsonl", "id", "header").record
    assert record.attributes is None
    assert any("`id` and `header`: a pair of values can be judged" in each for each in record.sentences)


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        ({("a", "x"): 10, ("b", "y"): 9}, "There are 19 different rows, and pairs of attributes need 20"),
        ({("a", "x"): 40, ("a", "y"): 40, ("b", "x"): 40, ("b", "y"): 40}, "there is no counterfactual group"),
        ({("a", "x"): 60, ("a", "y"): 4, ("b", "x"): 4, ("b", "y"): 60}, "Only 8 rows have a rare pair"),
    ],
)
def test_what_cannot_be_said_is_a_sentence(tmp_path, table, sentence):
    record = found_in(write_rows(tmp_path / "rows.jsonl", questions(table))).record
    assert any(sentence in each for each in record.sentences)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--split", "counterfactual"], "needs two columns or more whose values are rarely seen together"),
        (["--attributes", "header"], "`attributes` must name two different columns or more, got header."),
        (["--attributes", "header", "header"], "got header, header."),
        (["--attributes", "header", "none"], "column `none`: the attribute is missing"),
        (["--attributes", "a", "b", "--write", "--adapter", "mmlu"], "which the adapter mmlu does not read"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(tmp_path, words, sentence):
    file = write_rows(tmp_path / "rows.jsonl", questions())
    done = run(["audit", str(file), *words, "--out", str(tmp_path / "out")])
    assert done["crash"] == "NoneType: None\n", done["crash"]
    assert done["code"] == 1
    assert sentence in done["output"]

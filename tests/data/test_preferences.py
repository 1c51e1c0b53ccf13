import csv
import json
from dataclasses import replace

import pyarrow
import pyarrow.parquet
import pytest

from align.data import PREFERENCE_ADAPTERS, DataError, load_preferences, pair_to_row
from align.data.pairs.preferences import check_pair
from align.data.pairs.spans import Span

USER = {"role": "user", "content": "Capital, of\nFrance?"}
ROWS = [
    {"id": "a", "prompt": [USER], "chosen": [{"role": "assistant", "content": 'It is "Paris".'}],
     "rejected": [{"role": "assistant", "content": "It is Rome."}],
     "chosen_spans": [[7, 12]], "rejected_spans": [[6, 10]]},
    {"id": "b", "prompt": [USER], "chosen": [{"role": "assistant", "content": "Old <MASK>Paris</MASK>"}],
     "rejected": [{"role": "assistant", "content": "Old Rome"}]},
    {"id": "c", "prompt": [USER], "chosen": [{"role": "assistant", "content": "東京"}],
     "rejected": [{"role": "assistant", "content": "大阪"}]},
]  # fmt: skip
GOOD = {"prompt": "France?", "chosen": "It is Paris.", "rejected": "It is Rome."}


def write(path, *rows):
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def write_csv(path, rows):
    with path.open("w", newline="", encoding="utf-8") as text:
        writer = csv.DictWriter(text, sorted(set().union(*rows)))
        writer.writeheader()
        writer.writerows(
            {key: json.dumps(value) if isinstance(value, list) else value for key, value in row.items()}
            for row in rows
        )
    return path


@pytest.fixture(params=["jsonl", "json", "csv", "parquet", "folder"])
def data_set(request, tmp_path):
    file = tmp_path / f"pairs.{request.param}"
    match request.param:
        case "jsonl":
            write(file, *ROWS)
        case "json":
            file.write_text(json.dumps(ROWS))
        case "csv":
            write_csv(file, ROWS)
        case "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
        case "folder":
            file.mkdir()
            write(file / "train.jsonl", *ROWS)
    return file


def test_every_format_gives_the_same_pairs(data_set):
    pairs, report = load_preferences(data_set)
    assert [(p.id, p.prompt, p.chosen, p.rejected, p.chosen_spans, p.rejected_spans, p.spans_from) for p in pairs] == [
        ("a", [USER], 'It is "Paris".', "It is Rome.", ((7, 12),), ((6, 10),), "offsets"),
        ("b", [USER], "Old Paris", "Old Rome", ((4, 9),), (), "tags"),
        ("c", [USER], "東京", "大阪", ((0, 2),), ((0, 2),), "diff"),
    ]
    assert report.counts == {"read": 3, "kept": 3, "left_out": 0}


def test_rows_of_pairs_survive_a_table_and_a_second_check(tmp_path, data_set):
    pairs, _ = load_preferences(data_set)
    rows = [pair_to_row(pair) for pair in pairs]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "again.parquet")
    again, _ = load_preferences(tmp_path / "again.parquet")
    assert [pair_to_row(pair) for pair in again] == rows


def test_texts_in_a_csv_may_begin_with_a_bracket(tmp_path):
    row = {"prompt": "[INST] List? [/INST]", "chosen": '[{"name": "iron"}]', "rejected": "[1] none"}
    (pair,), _ = load_preferences(write_csv(tmp_path / "pairs.csv", [row]))
    assert (pair.prompt, pair.chosen, pair.rejected) == tuple(row.values())


@pytest.mark.parametrize(
    ("column", "cell", "message"),
    [
        ("chosen_spans", "[[0, 5]", r"column `chosen_spans`: the cell is not valid JSON.*such as \[\[0, 5\]\]"),
        (
            "chosen",
            "[{'role': 'assistant', 'content': 'a'}]",
            r"column `chosen`: the cell is not valid JSON.*\"role\"",
        ),
        ("chosen_spans", "0-5", "column `chosen_spans`: the spans are not a list"),
    ],
)
def test_csv_cells_that_cannot_be_read_are_reported(tmp_path, column, cell, message):
    file = write_csv(tmp_path / "pairs.csv", [GOOD | {"chosen_spans": "[]", "rejected_spans": "[]"} | {column: cell}])
    with pytest.raises(DataError, match=message):
        load_preferences(file)


def test_bad_rows_are_reported_by_row_and_left_out_if_wished(tmp_path):
    bad = [
        GOOD | {"rejected": GOOD["chosen"]},
        GOOD | {"chosen_spans": [[6, 99]], "rejected_spans": []},
        GOOD | {"chosen": "It is <MASK>Paris."},
        {
            "prompt": [USER],
            "chosen": [USER | {"content": "Other?"}, *ROWS[0]["chosen"]],
            "rejected": ROWS[0]["rejected"],
        },
    ]
    file = write(tmp_path / "pairs.jsonl", GOOD, *bad, "[1]", GOOD | {"id": "pairs-1"}, GOOD)
    pairs, report = load_preferences(file, on_bad_rows="skip")
    assert [(pair.id, pair.row) for pair in pairs] == [("pairs-1", 1), ("pairs-8", 8)]
    assert report.counts == {"read": 8, "kept": 2, "left_out": 6}
    assert [(problem.row, problem.column, problem.rule) for problem in report.problems] == [
        (2, "rejected", "chosen and rejected are equal"),
        (3, "chosen_spans", "a span is outside the text"),
        (4, "chosen", "a <MASK> tag is not closed"),
        (5, "chosen", "the prompt is not the beginning of the conversation"),
        (6, "", "the row is not an object"),
        (7, "id", "the id is taken"),
    ]
    message = r"6 of 8 rows of .*\n.*pairs\.jsonl, row 2, column `rejected`: chosen and rejected are equal"
    with pytest.raises(DataError, match=message):
        load_preferences(file)


def test_a_data_set_without_a_usable_pair_is_an_error_also_when_skipping(tmp_path):
    with pytest.raises(DataError, match="has no column `chosen` or `rejected`"):
        load_preferences(write(tmp_path / "bad.jsonl", {"prompt": "x"}), on_bad_rows="skip")
    with pytest.raises(DataError, match=rf"Unknown adapter 'sciq'\. Known adapters: {', '.join(PREFERENCE_ADAPTERS)}"):
        load_preferences(write(tmp_path / "good.jsonl", GOOD), adapter="sciq")


def test_spans_that_are_given_count_in_place_of_those_of_a_diff():
    pair = check_pair(GOOD)
    assert pair.has_spans
    assert not replace(pair, given_spans=((), ())).has_spans
    assert replace(check_pair(GOOD | {"rejected": "Rome."}), given_spans=((Span(0, 3),), ())).has_spans

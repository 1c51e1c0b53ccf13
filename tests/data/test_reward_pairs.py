import csv
import json

import pyarrow
import pyarrow.parquet
import pytest
from pair_recipe import write_rows

from align.data import DataError, load_reward_pairs, reward_pair_to_row

GOOD = {"prompt": "France?", "chosen": "It is Paris.", "rejected": "It is Rome."}
USER = {"role": "user", "content": "Capital, of\nFrance?"}
ROWS = [
    {"id": "a", "prompt": [USER], "chosen": [{"role": "assistant", "content": 'It is "Paris".'}],
     "rejected": [{"role": "assistant", "content": "It is Rome."}]},
    {"id": "b", "prompt": [USER], "chosen": [{"role": "assistant", "content": "Paris, of course."}],
     "rejected": [{"role": "assistant", "content": "Paris."}], "tie": True, "source": "paraphrase"},
    {"id": "c", "prompt": [USER], "chosen": [{"role": "assistant", "content": "東京"}],
     "rejected": [{"role": "assistant", "content": "大阪"}], "tie": False, "source": "upgrade", "attribute": "truth"},
]  # fmt: skip


@pytest.fixture(params=["jsonl", "csv", "parquet"])
def data_set(request, tmp_path):
    file = tmp_path / f"pairs.{request.param}"
    match request.param:
        case "jsonl":
            write_rows(file, ROWS)
        case "csv":
            with file.open("w", newline="", encoding="utf-8") as text:
                writer = csv.DictWriter(text, sorted(set().union(*ROWS)))
                writer.writeheader()
                for row in ROWS:
                    writer.writerow({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()})
        case "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS[::-1]), file)
    return file


def test_every_format_gives_the_same_pairs(data_set):
    pairs, report = load_reward_pairs(data_set)
    assert sorted((p.id, p.chosen, p.rejected, p.tie, p.source, p.attribute) for p in pairs) == [
        ("a", 'It is "Paris".', "It is Rome.", False, "preference", None),
        ("b", "Paris, of course.", "Paris.", True, "paraphrase", None),
        ("c", "東京", "大阪", False, "upgrade", "truth"),
    ]
    assert {str(pair.prompt) for pair in pairs} == {str([USER])}
    assert report.counts == {"read": 3, "kept": 3, "left_out": 0}


def test_rows_for_the_trainer_have_what_it_reads(tmp_path):
    (pair, *_), _ = load_reward_pairs(write_rows(tmp_path / "pairs.jsonl", ROWS))
    assert reward_pair_to_row(pair) == ROWS[0] | {"tie": False, "source": "preference"}


def test_bad_rows_are_reported_by_row_and_left_out_if_wished(tmp_path):
    bad = [GOOD | {"rejected": GOOD["chosen"]}, GOOD | {"tie": "no"}, GOOD | {"source": "irrelevant_query"}]
    file = write_rows(tmp_path / "pairs.jsonl", [GOOD, *bad, GOOD | {"id": "pairs-1"}, GOOD])
    pairs, report = load_reward_pairs(file, on_bad_rows="skip")
    assert [(pair.id, pair.row) for pair in pairs] == [("pairs-1", 1), ("pairs-6", 6)]
    assert [(problem.row, problem.column, problem.rule) for problem in report.problems] == [
        (2, "rejected", "chosen and rejected are equal"),
        (3, "tie", "`tie` is neither true nor false"),
        (4, "tie", "a pair of the source irrelevant_query has no order"),
        (5, "id", "the id is taken"),
    ]
    with pytest.raises(DataError, match=r"4 of 6 rows of .*\n.*row 2, column `rejected`: chosen and rejected"):
        load_reward_pairs(file)

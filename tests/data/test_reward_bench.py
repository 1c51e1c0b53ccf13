import json

import pytest

from align.data.pairs.reward_bench import SECTIONS, TIE, load_reward_bench
from align.errors import DataError


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def row(**changes):
    return {"prompt": "1 + 1?", "chosen": "2", "rejected": "3", **changes}


def test_the_section_of_a_known_subset_is_the_category_and_a_column_goes_first(tmp_path):
    path = write(
        tmp_path / "rows.jsonl",
        row(subset="hep-cpp", id=1),
        row(subset="hep-cpp", id=2, category="code"),
        row(subset="mine", id=3),
        row(id=4),
    )
    pairs, report = load_reward_bench(path)
    assert [pair.category for pair in pairs] == ["reasoning", "code", "mine", None]
    assert [pair.id for pair in pairs] == ["hep-cpp/1", "hep-cpp/2", "mine/3", "4"]
    assert report.num_kept == 4


def test_ids_need_only_be_unique_within_a_subset(tmp_path):
    assert len(load_reward_bench(write(tmp_path / "a.jsonl", row(id=1, subset="x"), row(id=1, subset="y")))[0]) == 2
    with pytest.raises(DataError, match="the id is taken"):
        load_reward_bench(write(tmp_path / "b.jsonl", row(id=1, subset="x"), row(id=1, subset="x")))


def test_messages_are_read_in_trls_forms(tmp_path):
    user = {"role": "user", "content": "1 + 1?"}
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in ("2", "3"))
    path = write(
        tmp_path / "rows.jsonl",
        {"prompt": [user], "chosen": chosen, "rejected": rejected},
        {"chosen": [user, *chosen], "rejected": [user, *rejected]},
    )
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in load_reward_bench(path)[0]] == [
        ([user], "2", "3")
    ] * 2


@pytest.mark.parametrize(
    ("bad", "rule"),
    [
        ({"tie": "maybe"}, "`tie` is neither true nor false"),
        ({"chosen": ""}, "the response is missing or empty"),
        ({"subset": ["a"]}, "the subset is neither a text nor a number"),
        ({"prompt": None}, "the prompt is missing or empty"),
    ],
)
def test_rows_that_cannot_be_judged_are_named(tmp_path, bad, rule):
    path = write(tmp_path / "rows.jsonl", row(), row(**bad))
    with pytest.raises(DataError, match=rf"row 2, column `{next(iter(bad))}`: {rule}"):
        load_reward_bench(path)
    pairs, report = load_reward_bench(path, on_bad_rows="skip")
    assert len(pairs) == 1
    assert report.reasons == {rule: 1}


def test_ties_are_left_out_and_counted_whatever_is_done_with_bad_rows(tmp_path):
    path = write(tmp_path / "rows.jsonl", row(), row(tie=True), row(tie=False), row(tie="True"), row(tie=None))
    pairs, report = load_reward_bench(path)
    assert [pair.row for pair in pairs] == [1, 3, 5]
    assert (report.num_read, report.num_kept, report.reasons) == (5, 3, {TIE: 2})
    with pytest.raises(DataError, match=r"All 2 pairs of .* are ties"):
        load_reward_bench(write(tmp_path / "ties.jsonl", row(tie=True), row(tie=True)))


def test_parquet_with_a_column_for_the_source_model_is_read(tmp_path):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.Table.from_pylist([row(id=7, subset="donotanswer", chosen_model="m", rejected_model="n")])
    pyarrow.parquet.write_table(table, tmp_path / "filtered.parquet")
    (pair,) = load_reward_bench(tmp_path / "filtered.parquet")[0]
    assert (pair.id, pair.category) == ("donotanswer/7", "safety")


def test_no_subset_is_in_two_sections():
    names = [subset for subsets in SECTIONS.values() for subset in subsets]
    assert len(names) == len(set(names)) == 23

import pytest
from observed_table import observed_rows, write_table

from align.data.tables.reading import TableFile
from align.errors import DataError

FORMATS = ["csv", "jsonl", "parquet"]


def rows_of(table):
    return [row for batch in table.batches() for row in batch.to_pylist()]


@pytest.mark.parametrize("in_memory", [0, 2**30], ids=["streamed", "kept"])
@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_gives_the_same_rows_each_time_it_is_read(tmp_path, suffix, in_memory):
    rows = observed_rows(30)
    table = TableFile(write_table(tmp_path / f"t.{suffix}", rows), in_memory=in_memory)
    assert table.is_streamed == (in_memory == 0)
    expected = [{name: str(value) for name, value in row.items()} for row in rows] if suffix == "csv" else rows
    assert rows_of(table) == expected == rows_of(table)


@pytest.mark.parametrize("suffix", FORMATS)
def test_max_rows_is_a_limit_over_batches(tmp_path, suffix):
    table = TableFile(write_table(tmp_path / f"t.{suffix}", observed_rows(30)), max_rows=7)
    assert len(rows_of(table)) == 7


def test_a_large_table_comes_in_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("align.data.tables.reading.BATCH_ROWS", 1_000)
    rows = [{"a": number} for number in range(1_005)]
    table = TableFile(write_table(tmp_path / "t.jsonl", rows), in_memory=0)
    assert [len(batch) for batch in table.batches()] == [1_000, 5]


@pytest.mark.parametrize(("suffix", "place"), [("csv", 6), ("jsonl", 3), ("parquet", 3)])
def test_a_place_is_a_line_or_a_record(tmp_path, suffix, place):
    rows = [{"a": "one\ntwo"}, {"a": "three\nfour"}, {"a": "five"}]
    assert TableFile(write_table(tmp_path / f"t.{suffix}", rows)).place(2) == place


def test_columns_of_several_types_become_texts(tmp_path):
    rows = [{"a": 1, "b": {"x": 1}}, {"a": "x", "b": "y"}, {"a": None, "c": True}]
    found = rows_of(TableFile(write_table(tmp_path / "t.jsonl", rows)))
    assert found == [{"a": "1", "b": '{"x": 1}', "c": None}, {"a": "x", "b": "y", "c": None},
                     {"a": None, "b": None, "c": True}]  # fmt: skip


def test_whole_numbers_beyond_a_float_are_read_beside_fractions(tmp_path, monkeypatch):
    monkeypatch.setattr("align.data.tables.reading.BATCH_ROWS", 1)
    found = rows_of(TableFile(write_table(tmp_path / "t.jsonl", [{"a": 2**60 + 1}, {"a": 0.5}, {"a": None}])))
    assert found == [{"a": 2.0**60}, {"a": 0.5}, {"a": None}]
    numbers = [{"a": 2**63}, {"a": -1}]
    assert rows_of(TableFile(write_table(tmp_path / "u.jsonl", numbers))) == [{"a": str(row["a"])} for row in numbers]


def test_all_rows_that_cannot_be_read_are_told(tmp_path):
    (tmp_path / "t.jsonl").write_bytes(b'{"a": 1}\n{"a": "\xff"}\n{"a"\n{"a": 1e999}\n')
    with pytest.raises(DataError, match=r"3 of 4 rows.*\n.*row 2: .*UTF-8.*\n.*row 3: .*valid JSON.*\n.*row 4: "):
        TableFile(tmp_path / "t.jsonl")


@pytest.mark.parametrize("delimiter", [";", "\t"])
def test_columns_may_be_separated_by_something_else(tmp_path, delimiter):
    (tmp_path / "t.csv").write_text(f"a{delimiter}b\n1,5{delimiter}x\n")
    assert rows_of(TableFile(tmp_path / "t.csv")) == [{"a": "1,5", "b": "x"}]


BROKEN = {
    "no file": ("t.csv", None, "There is no file"),
    "no rows": ("t.csv", "a,b\n", "holds no rows"),
    "nothing": ("t.csv", "", "has no header.*Write the names"),
    "a column twice": ("t.csv", "a,a\n1,2\n", "has the columns 'a' twice"),
    "long row": ("t.csv", "a,b\n1,2\n1,2,3\n", "row 3: the row has more cells than the header"),
    "short row": ("t.csv", "a,b\n1,2\n1\n", "row 3: the row has fewer cells than the header"),
    "a quote that is not closed": ("t.csv", 'a,b\n1,2\n1,"x\n3,4\n', "line 3: unexpected end.*Check its quotes"),
    "a quote that ends rows later": ("t.csv", 'a,b\n1,"x\n3,4\n5,"y\n', "line 2: .*Check its quotes"),
    "text after a quote": ("t.csv", 'a;b\n1;"x" y\n', "line 2: .*Check its quotes"),
    "no JSON": ("t.jsonl", '{"a": 1}\n{"a"\n', "row 2: the line is not valid JSON"),
    "no Parquet": ("t.parquet", "no parquet", r"is not a Parquet file.*[^.]\.$"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_is_refused_with_its_place(tmp_path, case):
    name, content, words = BROKEN[case]
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        TableFile(tmp_path / name)


@pytest.mark.parametrize("in_memory", [0, 2**30], ids=["streamed", "kept"])
def test_quotes_that_are_closed_are_read(tmp_path, in_memory):
    (tmp_path / "t.csv").write_text('\ufeff"a",b\n"1, one","x\ny"\n\n2,"say ""z"""\n3,5" wide\n4,"stray\n')
    table = TableFile(tmp_path / "t.csv", max_rows=3, in_memory=in_memory)
    expected = [{"a": "1, one", "b": "x\ny"}, {"a": "2", "b": 'say "z"'}, {"a": "3", "b": '5" wide'}]
    assert rows_of(table) == expected == rows_of(table)


@pytest.mark.parametrize(("name", "content"), [(n, c) for n, c, _ in (BROKEN["long row"], BROKEN["no JSON"])])
def test_rows_that_cannot_be_read_can_be_skipped_and_are_counted(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    table = TableFile(tmp_path / name, on_bad_rows="skip")
    assert len(rows_of(table)) == 1
    assert len(table.problems) == 1

import datetime
import json

import numpy as np
import pandas as pd
import pytest
from observed_table import observed_rows, write_table

from align.data.files import first_rows
from align.data.tables.observations import ObservationReader, Roles, read_observations
from align.data.tables.reading import TableFile
from align.errors import DataError
from rewards.correction.columns import read_columns

ROLES = Roles("clicks", ("popularity", "hour"), text="headline", instruments=("shock",), groups="author")


def read(path, rows, roles=ROLES, **policy):
    return read_observations(ObservationReader(TableFile(write_table(path, rows), **policy), roles))


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_every_format_gives_the_same_columns(tmp_path, suffix):
    rows = observed_rows(20)
    found, report = read(tmp_path / f"t.{suffix}", rows)
    np.testing.assert_allclose(found.outcome, [row["clicks"] for row in rows])
    np.testing.assert_allclose(found.confounders["hour"], [row["hour"] for row in rows])
    assert found.groups.tolist() == [row["author"] for row in rows]
    assert found.text.tolist() == [row["headline"] for row in rows]
    assert report.counts == {"read": 20, "kept": 20, "left_out": 0}


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_a_number_as_label_is_the_same_label_in_every_format(tmp_path, suffix):
    rows = [row | {"author": number} for number, row in enumerate(observed_rows(5))]
    assert read(tmp_path / f"t.{suffix}", rows)[0].groups.tolist() == ["0", "1", "2", "3", "4"]


def test_booleans_and_texts_are_numbers_where_they_can_be(tmp_path):
    cells = {"true": 1, "False": 0, " 2.5 ": 2.5, "1e3": 1000, "-0": 0}
    rows = [{"y": "1", "c": cell} for cell in cells]
    found, _ = read(tmp_path / "t.csv", rows, Roles("y", ("c",)))
    assert found.confounders["c"].tolist() == list(cells.values())


NO_NUMBERS = {
    "a word": (
        {"popularity": "high"},
        ["row 3", "`popularity`", "'high'", "not a number", "a category is a column of texts"],
    ),
    "digits with underscores": ({"popularity": "1_000"}, ["'1_000'", "not a number"]),
    "no outcome": ({"clicks": "many"}, ["the outcome is not a number"]),
}


@pytest.mark.parametrize("case", NO_NUMBERS)
def test_a_value_that_cannot_be_used_is_named_with_its_place(tmp_path, case):
    change, words = NO_NUMBERS[case]
    rows = observed_rows(6)
    rows[2] |= change
    with pytest.raises(DataError) as error:
        read(tmp_path / "t.jsonl", rows)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)
    found, report = read(tmp_path / "t.jsonl", rows, on_bad_rows="skip")
    assert (found.num_rows, len(report.problems)) == (5, 1)


def test_all_values_that_cannot_be_used_are_counted(tmp_path):
    rows = [row | {"popularity": "31.01.2024"} for row in observed_rows(20)]
    with pytest.raises(DataError, match=r"(?s)^20 of 20 rows .* a date as 2024-01-31.*In all:\n  20 x ") as error:
        read(tmp_path / "t.csv", rows)
    assert str(error.value).count("t.csv, row ") == 5


@pytest.mark.parametrize("in_memory", [0, 2**30], ids=["streamed", "kept"])
def test_lines_and_values_that_cannot_be_used_are_counted_with_their_places(tmp_path, in_memory, monkeypatch):
    monkeypatch.setattr("align.data.tables.reading.BATCH_ROWS", 50)
    passes = []
    monkeypatch.setattr(
        "align.data.tables.reading.first_rows", lambda *words: passes.append(words) or first_rows(*words)
    )
    lines = [json.dumps(row) for row in observed_rows(300)]
    for number in (3, 270, 290):
        lines[number] = "{broken"
    for number in (20, 120, 200):
        lines[number] = json.dumps(observed_rows(1)[0] | {"clicks": "many"})
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    table = TableFile(tmp_path / "t.jsonl", on_bad_rows="skip", in_memory=in_memory)
    reader = ObservationReader(table, ROLES)
    for _ in range(2):
        report = read_observations(reader)[1]
        assert report.counts == {"read": 300, "kept": 294, "left_out": 6}
        assert sorted(problem.row for problem in report.problems) == [4, 21, 121, 201, 271, 291]
    assert len(passes) == (3 if in_memory else 6)  # types, kinds of columns, rows twice, and places once


def test_a_column_of_numbers_is_no_text(tmp_path):
    rows = [row | {"headline": 5} for row in observed_rows(3)]
    with pytest.raises(DataError, match=r"row 1, column `headline`: the text is not a text \(value: 5\)"):
        read(tmp_path / "t.parquet", rows)


NOON = datetime.datetime(1970, 1, 3, 12, tzinfo=datetime.UTC)
DATES = {
    "days": ["1970-01-03", "1969-12-31", "2024-02-29"],
    "times": ["1970-01-03T12:00", "1969-12-31 06:00:00.5", "2024-02-29 23:59:59.999999"],
    "zones": ["1970-01-03T12:00Z", "1969-12-31T06:00:00+02:00", "2024-02-29"],
    "arrow": [NOON.date(), datetime.date(1969, 12, 31), None],
    "arrow times": [NOON, NOON - datetime.timedelta(days=900, microseconds=1), None],
    "arrow times elsewhere": [NOON.astimezone(datetime.timezone(datetime.timedelta(hours=-9))), NOON, None],
}


@pytest.mark.parametrize("case", DATES)
def test_dates_are_read_in_days_since_1970(tmp_path, case):
    rows = [{"y": 1.0, "when": value} for value in DATES[case]]
    suffix = "parquet" if case.startswith("arrow") else "csv"
    reader = ObservationReader(
        TableFile(write_table(tmp_path / f"t.{suffix}", rows), on_bad_rows="skip"), Roles("y", ("when",))
    )
    found, _ = read_observations(reader)
    expected = [pd.Timestamp(value) for value in DATES[case] if value is not None]
    if case == "arrow times elsewhere":  # a column of Arrow has one zone
        expected = [each.tz_convert(expected[0].tz) for each in expected]
    days = [(each.tz_localize(None) - pd.Timestamp(0)) / pd.Timedelta(days=1) for each in expected]
    np.testing.assert_allclose(found.confounders["when"], days, rtol=0, atol=1e-11)
    assert found.units == reader.units == {"when": "days since 1970-01-01 by the clock as written"}


NO_DATES = {
    "a bad day": ("2024-02-30", r"row 4, column `when`: the confounder is not a date, as others of the column are"),
    "a word": ("soon", r"row 4, column `when`.*not a date.*Write it as 2024-01-31"),
    "a number": ("19675", r"row 4, column `when`.*not a date.*a column holds dates or numbers"),
}


@pytest.mark.parametrize("case", NO_DATES)
@pytest.mark.parametrize("in_memory", [0, 2**20], ids=["streamed", "kept"])
def test_a_value_that_is_no_date_is_named_with_its_row(tmp_path, case, in_memory, monkeypatch):
    monkeypatch.setattr("align.data.tables.reading.BATCH_ROWS", 2)
    value, words = NO_DATES[case]
    rows = [{"y": 1.0, "when": each} for each in ("2024-01-30", "2024-01-31", value, "2024-02-01")]
    path, roles = write_table(tmp_path / "t.csv", rows), Roles("y", ("when",))
    with pytest.raises(DataError, match=words):
        list(ObservationReader(TableFile(path, in_memory=in_memory), roles).read())
    skipping = ObservationReader(TableFile(path, in_memory=in_memory, on_bad_rows="skip"), roles)
    assert sum(len(rows.outcome) for rows in skipping.read()) == 3
    assert len(skipping.report.problems) == 1


def test_a_time_of_day_is_neither_number_nor_date(tmp_path):
    rows = [{"y": 1.0, "when": datetime.time(12, 30)}]
    with pytest.raises(DataError, match=r"a time of day is not a number.*Name a column of numbers or dates"):
        read(tmp_path / "t.parquet", rows, Roles("y", ("when",)))


@pytest.mark.parametrize("cell", [None, "", "NA", "nan", "null", "  ", "inf"])
@pytest.mark.parametrize("column", ["clicks", "popularity", "shock"])
def test_a_missing_number_needs_a_policy(tmp_path, column, cell):
    rows = observed_rows(6)
    rows[4][column] = cell
    with pytest.raises(DataError, match=rf"row 6, column `{column}`: the value is missing or infinite.*on_bad_rows"):
        read(tmp_path / "t.csv", rows)
    found, report = read(tmp_path / "t.csv", rows, on_bad_rows="skip")
    assert (found.num_rows, report.missing, report.counts["kept"]) == (5, {column: 1}, 5)


@pytest.mark.parametrize("column", ["headline", "author"])
def test_a_missing_text_or_group_needs_a_policy(tmp_path, column):
    rows = observed_rows(6)
    rows[0][column] = None
    with pytest.raises(DataError, match=rf"row 1, column `{column}`"):
        read(tmp_path / "t.jsonl", rows)
    assert read(tmp_path / "t.jsonl", rows, on_bad_rows="skip")[0].num_rows == 5


@pytest.mark.parametrize("cell", ["", " \u200b", float("nan")], ids=["empty", "blank", "nan"])
@pytest.mark.parametrize("column", ["headline", "author"])
def test_a_text_or_group_that_is_empty_or_nan_is_missing(tmp_path, column, cell):
    rows = observed_rows(6)
    rows[2][column] = cell
    with pytest.raises(DataError, match=rf"row 3, column `{column}`: the value is missing"):
        read(tmp_path / "t.jsonl", rows)
    assert read(tmp_path / "t.jsonl", rows, on_bad_rows="skip")[1].missing == {column: 1}


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_number_as_label_is_the_same_label_beside_a_gap(tmp_path, suffix):
    labels = [1.0, 2.5, float("nan"), 3.0]
    rows = [row | {"author": label} for row, label in zip(observed_rows(4), labels, strict=True)]
    assert read(tmp_path / f"t.{suffix}", rows, on_bad_rows="skip")[0].groups.tolist() == ["1", "2.5", "3"]


def test_nothing_left_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"No row of .* is complete: clicks lacks 3"):
        read(tmp_path / "t.jsonl", [row | {"clicks": None} for row in observed_rows(3)], on_bad_rows="skip")


WRONG_ROLES = {
    "several at once": (
        Roles("cliks", ("popularity", "popularity"), text="headlin"),
        "no column 'cliks' \\(outcome\\) and no column 'headlin' \\(text\\).*'popularity' is given as confounder and",
    ),
    "no such column": (Roles("cliks", ("popularity",)), "no column 'cliks'.*Did you mean 'clicks'"),
    "instrument as confounder": (
        Roles("clicks", ("popularity",), instruments=("popularity",)), "as confounder and as instrument",
    ),
    "outcome as confounder": (Roles("clicks", ("clicks",)), "as outcome and as confounder"),
    "text as confounder": (Roles("clicks", ("headline",), text="headline"), "both text and a number"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_ROLES)
def test_a_wrong_role_is_refused(tmp_path, case):
    roles, words = WRONG_ROLES[case]
    with pytest.raises(DataError, match=words):
        read(tmp_path / "t.csv", observed_rows(3), roles)


COLUMNS_OF_ONE_RULE = {
    "texts": ["red", "blue", "green"] * 12,
    "texts with spaces and a gap": [" red", "blue ", None, "red"] * 10,
    "words for nothing": ["none", "na", "nan"] * 12,
    "whole numbers": [1, 2, 3] * 12,
    "floats that are whole": [1.0, 2.0, None, 3.0] * 12,
    "numbers in texts": ["1", "2.0", "3"] * 12,
    "two numbers": [0, 1] * 18,
    "a rare number": [1, 2] * 18 + [3],
    "eleven numbers": list(range(11)) * 10,
    "fractions": [0.5, 1.5, 2.5] * 12,
    "dates": ["2024-01-31", "2024-02-01", "2024-02-02"] * 12,
    "booleans": [True, False] * 18,
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("case", COLUMNS_OF_ONE_RULE)
def test_a_file_and_python_have_the_same_categories(tmp_path, case, suffix):
    values = COLUMNS_OF_ONE_RULE[case]
    path = write_table(tmp_path / f"t.{suffix}", [{"y": 1.0, "c": value} for value in values])
    reader = ObservationReader(TableFile(path, on_bad_rows="skip"), Roles("y", ("c",)))
    direct = read_columns({"c": np.array(values, dtype=object)}, "confounder").categories
    assert tuple(reader.categories.values()) == direct
    assert len(direct) == (case in [*COLUMNS_OF_ONE_RULE][:6])
    assert next(iter(reader.read())).num_rows == sum(value is not None for value in values)

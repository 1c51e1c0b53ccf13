import datetime

import numpy as np
import pytest
from observed_table import observed_rows, write_table

from align.data.observations import ObservationReader, Roles, read_observations
from align.data.tables import Table
from align.errors import DataError

ROLES = Roles("clicks", ("popularity", "hour"), text="headline", instruments=("shock",), groups="author")


def read(path, rows, roles=ROLES, **policy):
    return read_observations(ObservationReader(Table(write_table(path, rows)), roles, **policy))


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
    "a word": ({"popularity": "high"}, ["row 3", "`popularity`", "'high'", "not a number", "`groups`"]),
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


def test_a_column_of_numbers_is_no_text(tmp_path):
    rows = [row | {"headline": 5} for row in observed_rows(3)]
    with pytest.raises(DataError, match=r"row 1, column `headline`: the text is not a text \(value: 5\)"):
        read(tmp_path / "t.parquet", rows)


def test_a_date_is_no_number(tmp_path):
    rows = [{"y": 1.0, "when": datetime.date(2024, 1, 1)}]
    with pytest.raises(DataError, match=r"a date is not a number.*days since"):
        read(tmp_path / "t.parquet", rows, Roles("y", ("when",)))


@pytest.mark.parametrize("cell", [None, "", "NA", "nan", "null", "  ", "inf"])
@pytest.mark.parametrize("column", ["clicks", "popularity", "shock"])
def test_a_missing_number_needs_a_policy(tmp_path, column, cell):
    rows = observed_rows(6)
    rows[4][column] = cell
    with pytest.raises(DataError, match=rf"row 6, column `{column}`.*missing.*on_missing"):
        read(tmp_path / "t.csv", rows)
    found, report = read(tmp_path / "t.csv", rows, on_missing="drop")
    assert (found.num_rows, report.missing, report.counts["kept"]) == (5, {column: 1}, 5)


@pytest.mark.parametrize("column", ["headline", "author"])
def test_a_missing_text_or_group_needs_a_policy(tmp_path, column):
    rows = observed_rows(6)
    rows[0][column] = None
    with pytest.raises(DataError, match=rf"row 1, column `{column}`"):
        read(tmp_path / "t.jsonl", rows)
    assert read(tmp_path / "t.jsonl", rows, on_missing="drop")[0].num_rows == 5


def test_nothing_left_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"No row of .* is complete: clicks lacks 3"):
        read(tmp_path / "t.jsonl", [row | {"clicks": None} for row in observed_rows(3)], on_missing="drop")


WRONG_ROLES = {
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

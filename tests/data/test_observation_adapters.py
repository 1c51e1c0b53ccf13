import pytest
from observed_table import UPWORTHY, write_table

from align.data.problems import BadRow
from align.data.tables.observation_adapters import OBSERVATION_ADAPTERS, stackexchange, upworthy
from align.data.tables.observations import ObservationReader, read_observations
from align.data.tables.reading import TableFile
from align.errors import DataError

POST = {"Id": "4", "Title": "Why?", "Body": "<p>So &amp; so.</p>", "Score": "7", "ViewCount": "99",
        "CreationDate": "2008-07-31T21:42:52.667", "OwnerUserId": "8"}  # fmt: skip
API_POST = {"title": "Why?", "body": "So", "score": -1, "view_count": 0, "creation_date": 1217540572,
            "owner": {"user_id": 8}}  # fmt: skip


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_an_upworthy_table_becomes_observations(tmp_path, suffix):
    rows = [UPWORTHY, UPWORTHY | {"clicks": 30, "headline": "No"}]
    adapter = OBSERVATION_ADAPTERS["upworthy"]
    table = TableFile(write_table(tmp_path / f"t.{suffix}", rows), adapter=("upworthy", adapter.add))
    found, _ = read_observations(ObservationReader(table, adapter.roles))
    assert found.outcome.tolist() == [150 / 3052, 30 / 3052]
    assert found.text.tolist() == ["They Thought It Was Over", "No"]
    assert found.confounders["hour"].tolist() == [6, 6]
    assert found.groups.tolist() == ["546d88fb"] * 2


@pytest.mark.parametrize("row", [POST, API_POST], ids=["dump", "api"])
def test_both_spellings_of_a_stackexchange_post_are_read(tmp_path, row):
    adapter = OBSERVATION_ADAPTERS["stackexchange"]
    table = TableFile(write_table(tmp_path / "t.jsonl", [row]), adapter=("stackexchange", adapter.add))
    found, _ = read_observations(ObservationReader(table, adapter.roles))
    assert found.outcome.tolist() == [float(row.get("Score", -1))]
    assert found.confounders["day"][0] == pytest.approx(14091.9, abs=0.1)


def test_markup_is_taken_off_a_post():
    found = stackexchange(POST)
    assert (found["text"], found["author"]) == ("Why?\n\nSo & so.", "8")
    assert stackexchange(API_POST)["author"] == "8"


@pytest.mark.parametrize(
    ("read", "row", "column"),
    [
        (upworthy, UPWORTHY | {"impressions": 0}, "impressions"),
        (upworthy, UPWORTHY | {"clicks": -1}, "clicks"),
        (upworthy, UPWORTHY | {"clicks": None}, "clicks"),
        (upworthy, UPWORTHY | {"created_at": "yesterday"}, "created_at"),
        (stackexchange, POST | {"Title": "", "Body": None}, "title"),
        (stackexchange, POST | {"Score": "high"}, "Score"),
    ],
)
def test_a_row_that_is_not_of_the_schema_is_refused(read, row, column):
    with pytest.raises(BadRow) as error:
        read(row)
    assert error.value.column == column


def test_a_missing_column_is_named(tmp_path):
    row = {name: value for name, value in UPWORTHY.items() if name != "impressions"}
    with pytest.raises(DataError, match=r"row 1, column `impressions`: the adapter `upworthy` needs this column"):
        TableFile(write_table(tmp_path / "t.jsonl", [row]), adapter=("upworthy", upworthy))

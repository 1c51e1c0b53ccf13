from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import read_lines, write_rows

from align.auditing.kept import write_kept
from align.auditing.reading import Reader, Source
from align.auditing.run import audit
from align.errors import DataError
from align.recipe.dataset import MediaSettings


def written(file, folder, **reading):
    found = audit([Source(str(file), **reading)], near=False)
    write_kept(found, folder)
    return read_lines(folder / "kept.jsonl")


def entries(file, **reading):
    return [read.entry._replace(file="", row=0) for read in Reader(Source(str(file), **reading)).read()]


@pytest.mark.parametrize(
    ("text", "columns", "line"),
    [
        ('question,options,answer,when\nWhich?,"[""a"", ""b""]",1,2024-01-31', {},
         {"question": "Which?", "options": ["a", "b"], "answer": 1, "when": "2024-01-31"}),
        ('question,opts,target,n\nWhich?,"[""a"", ""b""]",0,05', {"options": "opts", "answer": "target"},
         {"question": "Which?", "opts": ["a", "b"], "target": 0, "n": "05"}),
        ('question,options,answer\n2 - 1?,"[""1"", ""2""]",B', {},
         {"question": "2 - 1?", "options": ["1", "2"], "answer": "B"}),
        ("prompt,chosen,rejected,tie,margin\nq,a,b,False,0.50", {},
         {"prompt": "q", "chosen": "a", "rejected": "b", "tie": False, "margin": 0.5}),
        ("prompt,chosen,rejected,tie,margin\nq,a,b,TRUE,", {},
         {"prompt": "q", "chosen": "a", "rejected": "b", "tie": True, "margin": None}),
        ('said,correct\n"[{""role"": ""assistant"", ""content"": ""x""}]",true', {"messages": "said"},
         {"said": [{"role": "assistant", "content": "x"}], "correct": True}),
    ],
)  # fmt: skip
def test_rows_of_a_csv_file_are_read_back_as_they_were(tmp_path, text, columns, line):
    file, (header, row) = tmp_path / "rows.csv", text.split("\n")
    file.write_text(f"id,{header}\n007,{row}\n")
    assert written(file, tmp_path, columns=columns) == [{"id": "007"} | line]
    assert entries(tmp_path / "kept.jsonl", columns=columns) == entries(file, columns=columns)


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    (tmp_path / "data" / "frames").mkdir(parents=True)
    for name in ("a.png", "b.png", "frames/0.png"):
        Image.new("RGB", (30, 30), "blue" if name == "a.png" else "red").save(tmp_path / "data" / name)
    return tmp_path / "data"


ASKED = {"question": "Which?", "options": ["x", "y"], "answer": 0}


@pytest.mark.parametrize(
    ("row", "moved", "reading"),
    [
        (ASKED | {"image": "a.png"}, {"image": "../../data/a.png"}, {}),
        (ASKED | {"images": ["a.png", {"path": "./b.png"}]},
         {"images": ["../../data/a.png", {"path": "../../data/b.png"}]}, {}),
        (ASKED | {"video": "frames"}, {"video": "../../data/frames"}, {}),
        (ASKED | {"picture": "a.png", "image_of": "a.png"}, {"picture": "../../data/a.png"},
         {"columns": {"image": "picture"}}),
        ({"problem": "Which?", "options": ["A. x", "B. y"], "solution": "<answer>A</answer>", "data_type": "image",
          "path": "a.png"}, {"path": "../../data/a.png"}, {"adapter": "video_r1"}),
    ],
)  # fmt: skip
def test_kept_rows_find_their_images_from_where_they_are_written(tmp_path, pictures, row, moved, reading):
    file, out = write_rows(pictures / "rows.jsonl", [row]), tmp_path / "outputs" / "audit"
    out.mkdir(parents=True)
    assert written(file, out, **reading) == [row | moved]
    (kept,), (own,) = entries(out / "kept.jsonl", **reading), entries(file, **reading)
    assert kept.images == own.images != ()
    assert written(file, pictures, **reading) == [row]


def test_paths_that_count_from_a_named_folder_stay(tmp_path, pictures):
    file, media = (
        write_rows(tmp_path / "rows.jsonl", [ASKED | {"image": "a.png"}]),
        MediaSettings(media_dir=str(pictures)),
    )
    (tmp_path / "out").mkdir()
    assert written(file, tmp_path / "out", media=media) == [ASKED | {"image": "a.png"}]


def test_dates_of_a_table_are_written(tmp_path):
    day, time = date(2024, 1, 31), datetime(2024, 1, 31, 12, 30, tzinfo=UTC)
    rows = [{"prompt": "q", "reference": "a", "day": day, "at": time, "price": Decimal("1.10")}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "rows.parquet")
    (line,) = written(tmp_path / "rows.parquet", tmp_path)
    assert (line["day"], line["at"], line["price"]) == ("2024-01-31", "2024-01-31T12:30:00+00:00", "1.10")


def test_what_json_cannot_hold_is_refused_in_a_sentence(tmp_path):
    pq.write_table(pa.table({"prompt": ["q"], "took": pa.array([timedelta(1)])}), tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"row 1: .*a value of the type timedelta.* other values as texts or numbers"):
        written(tmp_path / "rows.parquet", tmp_path)

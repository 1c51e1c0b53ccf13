import csv
import json
import subprocess
import sys

import pyarrow
import pyarrow.parquet
import pytest

from align.data import DataError, load_questions
from align.data.files import BATCH_ROWS, first_rows, read_rows

HEAVY = ("torch", "transformers", "datasets", "trl", "pyarrow", "scipy")
ROWS = [
    {"id": "a", "question": "Which, if any, rusts?", "options": ["iron", "gold"], "answer": "A", "group": "metals"},
    {"id": "b", "question": "Two\nlines?", "options": ["yes", "no", "None of these"], "answer": "no", "group": None},
]


def write_csv(path, rows, columns=("id", "question", "options", "answer", "group")):
    with path.open("w", newline="", encoding="utf-8") as text:
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


@pytest.fixture(params=["jsonl", "json", "csv", "parquet", "folder"])
def data_set(request, tmp_path):
    file = tmp_path / f"rows.{request.param}"
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    match request.param:
        case "jsonl":
            file.write_text("\ufeff" + lines, encoding="utf-8")
        case "json":
            file.write_text(json.dumps(ROWS))
        case "csv":
            write_csv(
                file, [[r["id"], r["question"], json.dumps(r["options"]), r["answer"], r["group"]] for r in ROWS]
            )
        case "parquet":
            pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), file)
        case "folder":
            file.mkdir()
            (file / "train.jsonl").write_text(lines)
    return file


def test_every_format_gives_the_same_questions(data_set):
    questions, report = load_questions(data_set)
    assert [(q.id, q.question, list(q.options), q.answer, q.group) for q in questions] == [
        ("a", "Which, if any, rusts?", ["iron", "gold"], 0, "metals"),
        ("b", "Two\nlines?", ["yes", "no", "None of these"], 1, None),
    ]
    assert report.num_read == 2


def test_csv_rows_are_named_by_the_line_they_start_on(tmp_path):
    file = write_csv(
        tmp_path / "rows.csv", [["a", "Two\nlines?", '["x", "y"]', "A", ""], ["b", "One?", "x|y", "A", ""]]
    )
    questions, report = load_questions(file, on_bad_rows="skip")
    assert questions[0].row == 2
    assert (report.problems[0].row, report.problems[0].rule) == (4, "the options are not a list")


@pytest.mark.parametrize(
    ("options", "answer", "gold"),
    [(["x", "y", "z"], "2", 2), (["1", "2", "0"], "b", 1), (["3", "4", "9"], "9", 2), (["0", "1"], "1", 1)],
)
def test_csv_digits_are_an_index_or_a_text(tmp_path, options, answer, gold):
    file = write_csv(tmp_path / "rows.csv", [["a", "?", json.dumps(options), answer, ""]])
    assert load_questions(file)[0][0].answer == gold


def test_csv_digits_that_are_both_are_reported(tmp_path):
    file = write_csv(tmp_path / "rows.csv", [["a", "?", '["1", "2", "3"]', "1", ""]])
    with pytest.raises(DataError, match=r"can be read in two ways.*option A or B: write its letter instead"):
        load_questions(file)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("rows.json", b'[{"question": ', r"not valid JSON. Line 1, column 15.*name it \.jsonl"),
        ("rows.json", b'{"data": []}', "must hold a list of rows, got an object with the keys `data`"),
        (
            "rows.jsonl",
            b'{"question": "\xff"}',
            r"row 1: the row is not UTF-8 text.*0xff at line 1, column 15, byte 14",
        ),
        ("rows.parquet", b"no parquet", "is not a Parquet file"),
        ("rows.csv", b'id,question\na,"open', "row that starts on line 2: unexpected end of data"),
        ("rows.csv", b"", "holds no rows"),
        ("rows.json", b"[]", "holds no rows"),
        ("rows.json", b" \n", "holds no rows"),
        ("rows.jsonl", b" \n\r\n\t", "holds no rows"),
        ("rows.jsonl.gz", b"\x1f\x8b", r"is compressed\. Unpack it first"),
        ("rows.txt", b"text", r"must end in one of \.jsonl, \.json, \.csv, \.parquet"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        load_questions(tmp_path / name)


@pytest.mark.parametrize("name", ["absent.csv", "absent.parquet", "absent.json", "absent", "./absent", "a/b/absent"])
def test_a_missing_file_is_an_error(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = name if "/" in name else str(tmp_path / name)
    with pytest.raises(DataError, match="There is no file") as error:
        load_questions(path)
    looked_in = f"It was looked for in {tmp_path}; of a recipe, `./x` lies beside it."
    assert (looked_in in str(error.value)) == (path == name)


def test_a_folder_has_splits_and_a_file_has_none(tmp_path):
    (tmp_path / "test.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    (tmp_path / "train.jsonl").write_text(json.dumps(ROWS[1]) + "\n")
    assert [q.id for q in load_questions(tmp_path, split="test")[0]] == ["a"]
    questions, report = load_questions(tmp_path)
    assert [q.id for q in questions] == ["b"]
    assert report.file == str(tmp_path / "train.jsonl")
    with pytest.raises(DataError, match=r"has no split 'dev'\. It has: test, train"):
        load_questions(tmp_path, split="dev")
    with pytest.raises(DataError, match="`split` is for folders and hub data sets"):
        load_questions(tmp_path / "test.jsonl", split="test")


def test_folders_written_by_datasets_are_read(tmp_path):
    import datasets

    rows = datasets.Dataset.from_list(ROWS)
    rows.save_to_disk(tmp_path / "saved")
    datasets.DatasetDict({"dev": rows}).save_to_disk(tmp_path / "splits")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    rows.to_parquet(tmp_path / "hub" / "data" / "train-00000-of-00001.parquet")
    for name in ("saved", "splits", "hub"):
        assert [q.id for q in load_questions(tmp_path / name)[0]] == ["a", "b"]
    with pytest.raises(DataError, match="has no split 'test'"):
        load_questions(tmp_path / "hub", split="test")


def test_a_column_of_mixed_types_keeps_its_values_and_images_in_it_are_not_decoded(tmp_path):
    import datasets

    if not hasattr(datasets, "Json"):
        pytest.skip("this version of datasets has no such column")
    text, whole = datasets.Value("string"), {"bytes": b"no image", "path": None}
    features = datasets.Features(
        id=text, options=datasets.Json(), extra=datasets.List(datasets.Json()),
        images=datasets.List(datasets.Image()), shown={"image": datasets.Image(), "text": text},
    )  # fmt: skip
    row = {"id": "a", "options": ["iron", {"is": 1}], "extra": [{"b": 0}, {"c": "d"}], "images": [whole]}
    row["shown"] = {"image": whole, "text": "rust"}
    datasets.Dataset.from_dict({name: [value] for name, value in row.items()}, features=features).save_to_disk(
        tmp_path / "saved"
    )
    (found,) = read_rows(str(tmp_path / "saved"))
    assert found.content == row


def test_rows_of_tables_are_read_batch_by_batch(tmp_path):
    import datasets

    rows = [{"number": i} for i in range(2 * BATCH_ROWS + 1)]
    table = datasets.Dataset.from_list(rows)
    table.to_parquet(tmp_path / "rows.parquet")
    table.save_to_disk(tmp_path / "saved")
    for name in ("rows.parquet", "saved"):
        found = list(read_rows(str(tmp_path / name)))
        assert [row.content for row in found] == rows
        assert [row.row for row in found] == list(range(1, len(rows) + 1))


def test_a_hub_id_that_cannot_be_reached_is_an_error(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="Cannot load the data set no-such-owner/no-such-set:main"):
        load_questions("no-such-owner/no-such-set:main")


def test_jsonl_is_read_one_line_at_a_time(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(ROWS[0]) + "\n" + "\x00" * 10)
    assert next(iter(read_rows(str(file)))).content == ROWS[0]


def test_import_and_jsonl_load_nothing_heavy(tmp_path):
    (tmp_path / "rows.jsonl").write_text(json.dumps(ROWS[0]) + "\n")
    code = (
        "import sys; from align.data import load_questions; load_questions('rows.jsonl');"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", ["https://me:pw@host/rows.jsonl", "s3://bucket/rows.parquet", "hf://datasets/a/b"])
def test_a_url_is_no_file(path):
    with pytest.raises(DataError, match="is a URL, and rows are read from files and hub ids"):
        list(read_rows(path))


@pytest.mark.parametrize("name", ["", " "])
def test_data_without_a_name_is_not_this_folder(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(
        DataError, match=f"The name of the data is empty, got '{name}'. Name a file, a folder or a hub"
    ):
        load_questions(name)


def test_a_pattern_is_said_to_stand_for_no_files(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps(ROWS[0]))
    with pytest.raises(
        DataError, match=r"There is no file .*\*\.jsonl. Check its name. A pattern stands for no files"
    ):
        load_questions(tmp_path / "*.jsonl")


@pytest.mark.parametrize("max_rows", [-1, 0, 10**20])
def test_a_number_of_rows_that_is_none_is_refused(tmp_path, max_rows):
    (tmp_path / "rows.jsonl").write_text('{"prompt": "q?"}\n')
    with pytest.raises(DataError, match=rf"`max_rows` must be from 1 to [\d,]+, got {max_rows}\. Leave it out"):
        first_rows(str(tmp_path / "rows.jsonl"), None, max_rows)

"""Many items live in a file and are read as if they were in memory."""

import json
import os
import subprocess
import sys
import tempfile

import pytest
from PIL import Image

from align.data import load_preferences, load_questions, stored_items
from align.data.problems import DataError
from align.data.stored_items import ItemKeeper, MadeRows, Picked, StoredItems, pick, values_of

TOOLS = [{"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture(autouse=True)
def in_a_file(monkeypatch, tmp_path):
    monkeypatch.setattr(stored_items, "IN_MEMORY", 5)
    monkeypatch.setattr(stored_items, "BATCH", 4)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()


def write(tmp_path, rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def in_memory(load, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(stored_items, "IN_MEMORY", 10_000)
        loaded, report = load(path)
    assert type(loaded) is list
    return loaded, report


def questions(number):
    for i in range(number):
        more = {"group": f"g{i % 3}"} if i % 2 else {}
        options = ["iron", f"gold {i}", "zinc", "tin"][: 2 + i % 3]
        yield {"question": f"Ünd {i}?", "options": options, "answer": i % 2, **more}


def pairs(number):
    for i in range(number):
        row = {"id": f"p{i}", "prompt": f"Which {i}?", "chosen": f"It is {i}.", "rejected": f"It is {i + 1}."}
        if i % 4 == 1:
            row |= {"chosen_spans": [[6, 7]], "rejected_spans": []}
        if i % 4 == 2:
            row |= {"chosen": f"It is <MASK>{i}</MASK>."}
        if i % 4 == 3:
            row = {
                "prompt": [{"role": "user", "content": f"Which {i}?"}],
                "chosen": [{"role": "assistant", "content": "This."}],
                "rejected": [{"role": "assistant", "content": "That."}],
            }
        if i == 11:
            row |= {"tools": json.dumps(TOOLS), "group": 7}
        yield row


@pytest.mark.parametrize(("load", "rows"), [(load_questions, questions), (load_preferences, pairs)])
@pytest.mark.parametrize("number", [6, 8, 23])
def test_they_are_the_same_as_in_memory(tmp_path, monkeypatch, load, rows, number):
    path = write(tmp_path, rows(number))
    expected, counted = in_memory(load, path, monkeypatch)
    stored, report = load(path)
    assert isinstance(stored, StoredItems)
    assert report == counted
    assert list(stored) == expected
    names = ("id", "row", "group")
    assert list(values_of(stored, *names)) == list(values_of(expected, *names))
    assert len(stored) == number
    assert [stored[i] for i in (0, 5, -1)] == [expected[i] for i in (0, 5, -1)]
    assert stored[2:6] == expected[2:6]
    assert pick(stored, [5, 1, 3]) == [expected[i] for i in (5, 1, 3)]
    assert list(Picked(stored, [1, 4])) == Picked(stored, [1, 4])[:] == [expected[1], expected[4]]
    with pytest.raises(IndexError, match=f"There are {number} items, got the index {number}"):
        stored[number]


def test_what_a_diff_finds_is_found_when_it_is_read(tmp_path):
    loaded, _ = load_preferences(write(tmp_path, pairs(9)))
    assert [loaded[i].spans_from for i in range(4)] == ["diff", "offsets", "tags", "diff"]
    assert [loaded[i].chosen_spans for i in range(3)] == [((6, 7),), ((6, 7),), ((6, 7),)]
    assert all(pair.has_spans for pair in loaded)


def test_no_file_is_left_whether_rows_can_be_used_or_not(tmp_path):
    loaded, _ = load_questions(write(tmp_path, questions(9)))
    assert loaded[8].row == 9
    assert list((tmp_path / "temporary").iterdir()) == []
    rows = [*questions(9), {"question": "", "options": [], "answer": 0}]
    with pytest.raises(DataError, match="row 10, column `question`: the question is missing or empty"):
        load_questions(write(tmp_path, rows))
    assert list((tmp_path / "temporary").iterdir()) == []


def test_an_id_that_is_taken_names_the_row_that_has_it(tmp_path):
    rows = [row | {"id": f"q{min(i, 8)}"} for i, row in enumerate(questions(10))]
    with pytest.raises(DataError, match=r"row 10, column `id`: the id is taken .* Row 9 has it"):
        load_questions(write(tmp_path, rows))


def test_images_come_back_as_they_were(tmp_path):
    for i in range(7):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / f"{i}.png")
    rows = [row | ({"image": f"{i}.png"} if i > 2 else {}) for i, row in enumerate(questions(7))]
    loaded, _ = load_questions(write(tmp_path, rows))
    assert [len(each.images) for each in loaded] == [0, 0, 0, 1, 1, 1, 1]
    assert loaded[6].images[0].endswith("6.png")


def test_rows_are_made_when_they_are_read():
    made = []

    def make(item):
        made.append(item)
        return {"id": item}

    rows = MadeRows(["a", "b", "c"], make)
    assert (len(rows), made) == (3, [])
    assert rows[1:] == [{"id": "b"}, {"id": "c"}]
    assert rows[0] == {"id": "a"}
    assert made == ["b", "c", "a"]


def test_a_keeper_that_was_given_little_keeps_a_list():
    with ItemKeeper() as keeper:
        keeper.add("one")
        assert keeper.items() == ["one"]


def test_a_full_disk_is_a_sentence(tmp_path):
    path = write(tmp_path, questions(3_000))
    code = (
        "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from align.data import load_questions, stored_items\n"
        "stored_items.IN_MEMORY = 1_000\n"
        "from align.errors import DataError\n"
        "try: load_questions(sys.argv[1])\n"
        "except DataError as error: print(error)"
    )
    temporary = {"TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; {code}", path], env=os.environ | temporary, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"The rows do not fit into a file in {tmp_path / 'temporary'}: "), done.stderr
    assert "set `TMPDIR` to a folder with more" in done.stdout
    assert list((tmp_path / "temporary").iterdir()) == []

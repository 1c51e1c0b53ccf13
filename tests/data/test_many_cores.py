"""Rows that are divided over the cores are those that one process reads, whatever stands in the file."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from align.auditing.entry import entries_of
from align.auditing.repeats import see
from align.checks.recipe import _see
from align.data import files, load_preferences, load_questions, many_cores, stored_items
from align.data.many_cores import core_count, map_in_order
from align.data.problems import DataError
from align.data.stored_items import StoredItems, map_parts
from align.data.text_lines import divide_lines, read_lines

ENDS = [b"\n", b"\n", b"\n", b"\r\n", b"\r", b"\n \n", b"\n\r\n"]
BROKEN = [b'{"question": ', b"[1, 2]", b'{"question": "\xff?"}', b'{"question": "a", "question": "b"}']


@pytest.fixture(params=[1, 3])
def cores(request, monkeypatch):
    monkeypatch.setattr(many_cores, "core_count", lambda: request.param)
    monkeypatch.setattr(stored_items, "IN_MEMORY", 5)
    monkeypatch.setattr(stored_items, "BATCH", 4)
    monkeypatch.setattr(stored_items, "PART", 4)
    return request.param


def lines(seed, number=60):
    """Writes questions of which some are broken, repeat an id or lack a column, with any ends of lines."""
    rng = random.Random(seed)
    text = b"\xef\xbb\xbf" if seed % 2 else b""
    for i in range(number):
        row = {
            "id": f"q{i}",
            "question": f"Ünd {i}?",
            "options": ["iron", f"g{i}", "tin"][: 2 + i % 2],
            "answer": i % 2,
        }
        row |= {"group": f"g{i % 3}"} if i % 4 else {}
        if i > 6 and rng.random() < 0.2:
            row["id"] = f"q{rng.randrange(i)}"
        if i > 6 and rng.random() < 0.1:
            del row["options"]
        broken = i > 6 and rng.random() < 0.1
        text += rng.choice(BROKEN) if broken else json.dumps(row, ensure_ascii=i % 2 == 0).encode()
        text += rng.choice(ENDS) if i < number - 1 or seed % 3 else b""
    return text


def in_one_list(path, monkeypatch, **settings):
    with monkeypatch.context() as patch:
        patch.setattr(stored_items, "IN_MEMORY", 10_000)
        return load_questions(path, **settings)


@pytest.mark.parametrize("size", [1, 200, 10_000])
@pytest.mark.parametrize("seed", range(4))
def test_spans_have_the_lines_of_the_file_with_their_numbers(tmp_path, seed, size):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(seed))
    assert [line for span in divide_lines(path, size) for line in read_lines(path, span)] == list(read_lines(path))


@pytest.mark.by_day("1-0", "3-0", "3-1")
@pytest.mark.parametrize("seed", range(4))
def test_rows_and_what_is_wrong_with_others_are_those_of_one_process(tmp_path, monkeypatch, cores, seed):
    monkeypatch.setattr(files, "SPAN", 150)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(seed))
    expected, counted = in_one_list(path, monkeypatch, on_bad_rows="skip")
    stored, report = load_questions(path, on_bad_rows="skip")
    assert isinstance(stored, StoredItems)
    assert list(stored) == expected
    assert report == counted
    assert {"the id is taken", "the column is missing"} <= set(report.reasons)
    with pytest.raises(DataError) as alone:
        in_one_list(path, monkeypatch)
    with pytest.raises(DataError) as divided:
        load_questions(path)
    assert str(divided.value) == str(alone.value)


def test_a_column_that_most_rows_lack_and_one_that_none_has_are_told_alike(tmp_path, monkeypatch, cores):
    monkeypatch.setattr(files, "SPAN", 150)
    path = tmp_path / "rows.jsonl"
    rows = [{"question": f"Q {i}?", "A": "iron", "B": f"gold {i}", "C": "tin", "answer": 0} for i in range(40)]
    path.write_text(
        "".join(f"{json.dumps(row if i < 9 else {**row, 'question': None})}\n" for i, row in enumerate(rows))
    )
    for columns in ({"options": ["A", "B", "CC"]}, {"options": ["A", "B"], "question": "asked"}):
        with pytest.raises(DataError) as alone:
            in_one_list(path, monkeypatch, columns=columns, on_bad_rows="skip")
        with pytest.raises(DataError) as divided:
            load_questions(path, columns=columns, on_bad_rows="skip")
        assert str(divided.value) == str(alone.value)


def test_what_is_compared_in_parts_is_what_is_compared_at_once(tmp_path, monkeypatch, cores):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(1))
    stored, _ = load_questions(path, on_bad_rows="skip")
    whole, parts = see(entries_of(list(stored), "rows.jsonl")[1], "questions"), _see(stored, "rows.jsonl", "questions")
    names = ("key", "gold", "prompt", "group", "images")
    assert [parts.part(name).tolist() for name in names] == [whole.part(name).tolist() for name in names]
    assert set(whole.part("group")) == {-1, 0, 1, 2}
    assert [(parts.name(i), parts.place(i)) for i in range(len(whole))] == [
        (whole.name(i), whole.place(i)) for i in range(len(whole))
    ]


def test_prefixes_are_found_in_parts(tmp_path, monkeypatch, cores):
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Q {i}?", "chosen": "It is", "rejected": "It is so" if i % 3 else "No"} for i in range(20)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    stored, _ = load_preferences(path)
    assert isinstance(stored, StoredItems)
    assert _see(stored, "rows.jsonl", "pairs").prefix.tolist() == [i % 3 > 0 for i in range(20)]


def test_one_item_here_and_there_is_read_alone(tmp_path, cores):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(0))
    stored, _ = load_questions(path, on_bad_rows="skip")
    expected = list(stored)
    for order in (
        range(len(stored)),
        range(len(stored) - 1, -1, -1),
        random.Random(0).choices(range(len(stored)), k=50),
    ):
        assert [stored[i] for i in order] == [expected[i] for i in order]


def test_results_come_in_order_and_errors_as_they_are(monkeypatch):
    monkeypatch.setattr(many_cores, "core_count", lambda: 2)

    def work(number):
        time.sleep(0.05 * (number == 0))
        if number == 7:
            raise DataError("row 7 is bad")
        return number, os.getpid()

    found = list(map_in_order(work, range(7)))
    assert [number for number, _ in found] == list(range(7))
    assert os.getpid() not in {process for _, process in found}
    with pytest.raises(DataError, match="row 7 is bad"):
        list(map_in_order(work, range(20)))


def test_a_copy_that_is_ended_from_outside_is_a_sentence(monkeypatch):
    monkeypatch.setattr(many_cores, "core_count", lambda: 2)
    with pytest.raises(
        DataError, match=r"One of the 2 processes that read rows was ended .* `taskset -c 0 align \.\.\.`"
    ):
        list(map_in_order(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(3)))


def test_copies_end_with_the_process_that_made_them():
    code = (
        "import os, time\n"
        "from align.data import many_cores\n"
        "many_cores.core_count = lambda: 2\n"
        "def work(number):\n"
        "    os.write(1, f'{os.getpid()}\\n'.encode())\n"  # at once, where print may write a line in two parts
        "    time.sleep(60)\n"
        "list(many_cores.map_in_order(work, range(9)))\n"
    )
    first = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    copies = [int(first.stdout.readline()) for _ in range(2)]
    first.kill()
    first.wait()
    deadline = time.monotonic() + 120
    while any(is_there(copy) for copy in copies) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(is_there(copy) for copy in copies)


def is_there(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_cores_are_shared_by_the_processes_of_a_launch(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert core_count() == 6
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert core_count() == 1
    monkeypatch.delenv("LOCAL_WORLD_SIZE")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(200)))
    assert core_count() == many_cores.MOST


def test_a_list_is_worked_on_at_once():
    assert list(map_parts(len, [1, 2, 3])) == [3]


def test_a_file_that_cannot_be_read_is_a_sentence(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(lines(0))

    def refuse(*words, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(DataError, match=r"Cannot read .*rows\.jsonl: Permission denied"):
        load_questions(path)

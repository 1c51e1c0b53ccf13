import json
import os
import subprocess
import sys
from functools import partial

import datasets
import pytest
from started import ROOT

from align.data import load_preferences, stored_items
from align.data.pairs.preferences import pair_to_row, pairs_to_rows
from align.data.stored_items import Picked, StoredItems
from align.training import row_sets
from align.training.build import as_dataset


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(row_sets, "LEAST", 3)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def rows(*texts):
    return [{"id": f"r{i}", "prompt": [{"role": "user", "content": text}]} for i, text in enumerate(texts)]


def calls(tmp_path, given):
    """Maps rows as a trainer does; returns what came of it and how many rows were looked at."""
    log = tmp_path / "log.txt"
    log.write_text("")

    def mark(row, path=str(log)):
        with open(path, "a") as file:
            file.write("x")
        return {"length": len(row["prompt"][0]["content"])}

    return as_dataset(given).map(mark)["length"][:], len(log.read_text())


def test_a_second_start_finds_what_the_first_made(cache, tmp_path):
    assert calls(tmp_path, rows("a", "bb", "ccc")) == ([1, 2, 3], 3)
    assert calls(tmp_path, rows("a", "bb", "ccc")) == ([1, 2, 3], 0)
    assert calls(tmp_path, rows("a", "bb", "cccc")) == ([1, 2, 4], 3)


def test_other_code_makes_it_again(cache, tmp_path, monkeypatch):
    assert calls(tmp_path, rows("a", "bb", "ccc"))[1] == 3
    monkeypatch.setattr(row_sets, "code_digest", lambda: "another version")
    assert calls(tmp_path, rows("a", "bb", "ccc"))[1] == 3


def test_few_rows_and_rows_that_cannot_be_kept_stay_in_memory(cache, tmp_path):
    assert as_dataset(rows("a", "bb")).cache_files == []
    assert not cache.exists()
    cache.write_text("a file where the folder should be")
    kept = as_dataset(rows("a", "bb", "ccc"))
    assert kept.cache_files == []
    assert kept["id"][:] == ["r0", "r1", "r2"]


def test_rows_stay_as_they_were(cache):
    given = rows("a", "bb", "ccc")
    given[1]["prompt"][0]["tool_calls"] = [{"function": {"name": "look", "arguments": {"at": 1}}}]
    stored = as_dataset(given)
    assert stored.cache_files
    assert stored.to_list() == given


def pairs(tmp_path, *chosen, name="pairs.jsonl"):
    """Reads pairs that stand in a file while they are read."""
    texts = [{"prompt": f"q{i}?", "chosen": text, "rejected": "It is not."} for i, text in enumerate(chosen)]
    (tmp_path / name).write_text("".join(f"{json.dumps(row)}\n" for row in texts))
    found, _ = load_preferences(tmp_path / name)
    assert isinstance(found, StoredItems)
    return found


def logged(pair, prefix, path):
    with open(path, "a") as file:
        file.write("x")
    return pair_to_row(pair) | {"prompt": f"{prefix}{pair.prompt}"}


def made(tmp_path, items, prefix=""):
    """Returns the prompts and responses of a data set, and how many rows were made for it."""
    log = tmp_path / "made.txt"
    log.write_text("")
    rows = pairs_to_rows(items)
    rows.make = partial(logged, prefix=prefix, path=str(log))
    kept = as_dataset(rows)
    assert kept.cache_files
    return kept["prompt"][:], kept["chosen"][:], len(log.read_text())


@pytest.fixture
def in_a_file(monkeypatch):
    monkeypatch.setattr(stored_items, "IN_MEMORY", 2)


@pytest.mark.usefixtures("cache", "in_a_file")
def test_a_second_start_makes_no_row(tmp_path):
    first = made(tmp_path, pairs(tmp_path, "a", "b", "c", "d"))
    assert first == (["q0?", "q1?", "q2?", "q3?"], ["a", "b", "c", "d"], 4)
    assert made(tmp_path, pairs(tmp_path, "a", "b", "c", "d")) == (*first[:2], 0)
    assert made(tmp_path, pairs(tmp_path, "a", "b", "c", "e")) == (first[0], ["a", "b", "c", "e"], 4)


@pytest.mark.usefixtures("cache", "in_a_file")
def test_rows_that_are_made_otherwise_or_of_fewer_items_are_made_again(tmp_path):
    items = pairs(tmp_path, "a", "b", "c", "d")
    assert made(tmp_path, items)[2] == 4
    assert made(tmp_path, items, prefix="Say: ")[::2] == (["Say: q0?", "Say: q1?", "Say: q2?", "Say: q3?"], 4)
    assert made(tmp_path, Picked(items, [0, 1, 3])) == (["q0?", "q1?", "q3?"], ["a", "b", "d"], 3)
    assert made(tmp_path, Picked(items, [0, 1, 3]))[2] == 0
    assert made(tmp_path, Picked(items, [0, 2, 3]))[1:] == (["a", "c", "d"], 3)


@pytest.mark.usefixtures("in_a_file")
def test_what_is_as_in_the_first_item_counts_as_content(tmp_path):
    spans = [[0, 1]]  # of all pairs, so that the file does not say them
    rows = [{"prompt": f"q{i}?", "chosen": "ab", "rejected": "cd", "chosen_spans": spans} for i in range(4)]
    found = []
    for end in (1, 2):
        spans[0] = [0, end]
        marked = [row | {"rejected_spans": [[0, 1]]} for row in rows]
        (tmp_path / "pairs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in marked))
        items, _ = load_preferences(tmp_path / "pairs.jsonl")
        found.append(items.digest())
        assert items.digest() == found[-1]
    assert found[0] != found[1]


@pytest.mark.usefixtures("in_a_file")
def test_rows_that_were_damaged_are_made_again(cache, tmp_path):
    items = pairs(tmp_path, "a", "b", "c", "d")
    first = made(tmp_path, items)
    (file,) = cache.rglob("rows.arrow")
    for damage in (b"", file.read_bytes()[:-400], b"no Arrow file"):
        file.write_bytes(damage)
        assert made(tmp_path, items) == first


NAMES_ROWS = """
import sys
from align.data import load_questions, stored_items
from align.data.questions.rows import question_rows
from align.data.questions.templates import PromptTemplate
from align.training.row_sets import _digest
stored_items.IN_MEMORY = 2
rows = question_rows(load_questions(sys.argv[1])[0], PromptTemplate("{question}\\n{options}"), shuffle_options=True)
print(_digest(rows))
"""


@pytest.mark.slow  # other processes
def test_another_process_names_the_same_rows_alike(tmp_path):
    path = tmp_path / "questions.jsonl"
    rows = [{"question": f"q{i}?", "options": ["a", "b", "c"][: 2 + i % 2], "answer": i % 2} for i in range(6)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    names = {
        subprocess.run(
            [sys.executable, "-c", NAMES_ROWS, str(path)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(names) == 1
    assert len(names.pop().split()) == 2

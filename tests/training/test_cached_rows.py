import datasets
import pytest

from align.training import cached_rows
from align.training.build import as_dataset


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setattr(cached_rows, "LEAST", 3)
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
    monkeypatch.setattr(cached_rows, "code_digest", lambda: "another version")
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

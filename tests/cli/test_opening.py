"""What `align train` says before its first step."""

import os
import time

import pytest

from align.checks.machine import check_locks
from align.recipe.recipe import load_recipe
from align.runs.progress import record_start, seconds_last_time
from align.services.run_words import say_loading


@pytest.fixture
def extensions(tmp_path, monkeypatch):
    """A folder of compiled operators with one operator, nothing of it compiled."""
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "extensions"))
    folder = tmp_path / "extensions" / "cpu_adam"
    folder.mkdir(parents=True)
    return folder


def test_a_start_says_how_large_a_model_is_and_how_long_the_last_start_took(tiny_recipe, tmp_path, capfd):
    recipe = load_recipe(tiny_recipe(), [])
    say_loading(recipe, tmp_path)
    said = capfd.readouterr().err
    assert said.startswith("Loading ")
    assert said.endswith("M parameters.\n")
    record_start(tmp_path, 41.6, steps=10)
    say_loading(recipe, tmp_path)
    assert capfd.readouterr().err == said.rstrip() + " Last time the first step began after 42 s.\n"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seconds_to_first_step": null}'])
def test_a_broken_record_of_a_start_is_none(tmp_path, text):
    (tmp_path / "started.json").write_text(text)
    assert seconds_last_time(tmp_path) is None
    record_start(tmp_path, 3.25, steps=10)
    assert seconds_last_time(tmp_path) == 3.2


def test_deepspeed_is_announced_where_it_compiles(tiny_recipe, tmp_path, extensions, monkeypatch, capfd):
    recipe = load_recipe(tiny_recipe(), [])
    say_loading(recipe, tmp_path)
    assert "DeepSpeed" not in capfd.readouterr().err
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    say_loading(recipe, tmp_path)
    assert "DeepSpeed compiles its operators before the first step" in capfd.readouterr().err
    (extensions / "cpu_adam.so").touch()
    say_loading(recipe, tmp_path)
    assert "DeepSpeed" not in capfd.readouterr().err


def test_a_lock_is_stale_once_no_compilation_takes_so_long(extensions):
    lock = extensions / "lock"
    lock.touch()
    assert check_locks() == []
    os.utime(lock, (time.time() - 1800,) * 2)
    (finding,) = check_locks()
    assert finding.text.startswith(f"{lock} is 30 minutes old: a compilation was killed")
    assert finding.fix == f"rm {lock}"

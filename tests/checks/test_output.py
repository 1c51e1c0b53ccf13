import os
import platform
import time

import pytest
from some_recipes import with_model

from align.checks.launch import Launch
from align.checks.memory import check_output, check_room
from align.recipe.recipe import load_recipe
from align.runs import disk_space
from align.runs.owner import LOCK, owned


@pytest.fixture
def recipe(tiny_recipe):
    return lambda **changes: load_recipe(tiny_recipe(**changes))


def test_a_new_folder_is_nothing_to_speak_of(recipe):
    assert check_output(recipe()) == []


def test_the_owner_of_a_folder_is_named(recipe, tmp_path):
    with owned(tmp_path / "run"):
        (finding,) = check_output(recipe())
    assert finding.level == "error"
    assert f"in use by process {os.getpid()} on " in finding.text


def test_an_owner_on_another_host_that_is_silent_for_a_minute_is_gone(recipe, tmp_path):
    note = tmp_path / "run" / LOCK
    note.parent.mkdir()
    with owned(note.parent):
        text = note.read_text().replace(platform.node(), "elsewhere")
    note.write_text(text)
    (finding,) = check_output(recipe())
    assert "on elsewhere" in finding.text
    os.utime(note, (time.time() - 61,) * 2)
    assert check_output(recipe()) == []


def test_a_file_in_the_place_of_the_folder_is_an_error(recipe, tmp_path):
    (tmp_path / "run").write_text("")
    for place in ("./run", "./run/below"):
        (finding,) = check_output(recipe(output_dir=place))
        assert finding.level == "error", place


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 2),
        ({"save_total_limit": 1}, 2),
        ({"max_steps": 40}, 20),
        ({"max_steps": 5}, 3),
        ({"max_steps": 40, "save_steps": 0.1}, 10),
        ({"max_steps": 4, "save_steps": 0.3}, 2),
        ({"max_steps": 4, "save_steps": 1e-8}, 4),
        ({"max_steps": 4, "save_steps": 5e-324}, 4),
        ({"save_strategy": "no"}, 0),
        ({"max_steps": -1}, None),
    ],
)
def test_checkpoints_that_lie_together_are_counted(recipe, changes, count):
    (finding,) = check_room(*with_model(recipe(**changes)), Launch())
    assert (finding.level, finding.numbers["checkpoints"]) == ("ok", count)
    assert ("checkpoint" in finding.text) == (count != 0)


@pytest.mark.parametrize(("free", "level"), [(2.5, "error"), (4.5, "warning"), (100.0, "ok")])
def test_too_little_room_is_said_with_both_numbers(recipe, monkeypatch, free, level):
    (finding,) = check_room(*with_model(recipe()), Launch())
    model, checkpoint = finding.numbers["model_bytes"], finding.numbers["checkpoint_bytes"]
    assert 2.9 < checkpoint / model < 3.1  # weights and two moments
    monkeypatch.setattr("align.checks.memory.free_bytes", lambda folder: int(free * model))
    (finding,) = check_room(*with_model(recipe()), Launch())
    assert finding.level == level
    assert disk_space.words(int(free * model)) in finding.text

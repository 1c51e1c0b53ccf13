import json
import os

import pytest
import yaml
from some_recipes import QUESTIONS

from align.errors import RunFolderError
from align.recipe.yaml_loader import load_yaml
from align.training.folder import MAY_CHANGE, check_same_run, find_checkpoint, record_run
from align.versions import PACKAGES, installed_version

RESOLVED = {"method": QUESTIONS, "learning_rate": 1e-06, "dataset": {"path": "a.jsonl"}, "max_steps": 10}


def add_checkpoint(folder, name, state='{"global_step": 1}'):
    (folder / name).mkdir(parents=True)
    (folder / name / "model.safetensors").write_text("weights")
    if state is not None:
        (folder / name / "trainer_state.json").write_text(state)
    return folder / name


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_a_new_or_empty_folder_starts_at_the_beginning(tmp_path):
    assert find_checkpoint(tmp_path / "new", None) is None
    assert not (tmp_path / "new").exists()
    assert find_checkpoint(tmp_path, None) is None


def test_a_used_folder_is_refused_and_left_alone(tmp_path):
    add_checkpoint(tmp_path / "run", "checkpoint-10")
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError, match=r"already holds a run, up to checkpoint-10.*--resume auto.*--output_dir"):
        find_checkpoint(tmp_path / "run", None)
    assert snapshot(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunFolderError, match="is a file"):
        find_checkpoint(tmp_path / "run", None)
    assert (tmp_path / "run").read_text() == "mine"


@pytest.mark.parametrize("resume", [None, "auto"])
def test_a_name_that_no_folder_can_have_is_refused(tmp_path, resume):
    with pytest.raises(RunFolderError, match=r"`output_dir` .* cannot be used: File name too long"):
        find_checkpoint(tmp_path / ("a" * 3_000), resume)


def test_resume_auto_takes_the_last_complete_checkpoint(tmp_path):
    add_checkpoint(tmp_path, "checkpoint-5")
    last = add_checkpoint(tmp_path, "checkpoint-10")
    add_checkpoint(tmp_path, "checkpoint-15", state=None)
    add_checkpoint(tmp_path, "checkpoint-20", state='{"global_step": 2')
    add_checkpoint(tmp_path, "checkpoint-25", state="")
    add_checkpoint(tmp_path, "checkpoint-best")
    assert find_checkpoint(tmp_path, "auto") == last


def test_resume_auto_without_a_checkpoint_starts_at_the_beginning(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("{}")
    assert find_checkpoint(tmp_path, "auto") is None
    assert find_checkpoint(tmp_path / "new", "auto") is None


def test_a_named_checkpoint_must_be_one(tmp_path):
    named = add_checkpoint(tmp_path, "checkpoint-5")
    add_checkpoint(tmp_path, "checkpoint-10")
    half = add_checkpoint(tmp_path, "checkpoint-15", state=None)
    assert find_checkpoint(tmp_path, str(named)) == named
    for path in (half, tmp_path / "checkpoint-7"):
        with pytest.raises(RunFolderError, match=r"no complete checkpoint.*checkpoint-5, checkpoint-10"):
            find_checkpoint(tmp_path, str(path))


def test_the_same_recipe_may_continue(tmp_path):
    record_run(tmp_path, RESOLVED, {})
    check_same_run(tmp_path, RESOLVED)
    check_same_run(tmp_path / "new", RESOLVED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": 1e-5}, "`learning_rate: 1e-06`, now it is `1e-05`"),
        ({"dataset": {"path": "b.jsonl"}}, "`dataset: "),
        ({"beta": 0.1}, "`beta: None`, now it is `0.1`"),
    ],
)
def test_a_changed_setting_is_refused_by_name(tmp_path, change, words):
    record_run(tmp_path, RESOLVED, {})
    before = snapshot(tmp_path)
    with pytest.raises(RunFolderError) as error:
        check_same_run(tmp_path, RESOLVED | change)
    assert words in str(error.value)
    assert "--output_dir" in str(error.value)
    assert snapshot(tmp_path) == before


def test_a_removed_setting_is_refused_too(tmp_path):
    record_run(tmp_path, RESOLVED, {})
    with pytest.raises(RunFolderError, match="`learning_rate"):
        check_same_run(tmp_path, {key: value for key, value in RESOLVED.items() if key != "learning_rate"})


@pytest.mark.parametrize("name", sorted(MAY_CHANGE))
def test_a_run_may_be_made_longer_or_logged_differently(tmp_path, name):
    record_run(tmp_path, RESOLVED, {})
    check_same_run(tmp_path, RESOLVED | {name: 7})


def test_the_recipe_and_the_versions_are_recorded(tmp_path):
    record_run(tmp_path / "deep" / "run", RESOLVED, {"data": {"a.jsonl": "digest"}})
    assert yaml.safe_load((tmp_path / "deep/run/recipe.yaml").read_text()) == RESOLVED
    versions = json.loads((tmp_path / "deep/run/versions.json").read_text())
    assert {name: versions[name] for name in PACKAGES} == {name: installed_version(name) for name in PACKAGES}
    assert versions["torch"]
    assert versions["data"] == {"a.jsonl": "digest"}
    assert versions["cpus"] == os.cpu_count()
    assert {"command", "python", "machine"} <= set(versions)


def test_the_recipe_of_a_run_is_read_as_it_was_run(tmp_path):
    resolved = RESOLVED | {"run_name": "1e5", "audit_funcs": ["\x85"], "dataset": {"path": "a\u2028b.jsonl"}}
    record_run(tmp_path, resolved, {})
    check_same_run(tmp_path, resolved)
    assert load_yaml(tmp_path / "recipe.yaml") == resolved

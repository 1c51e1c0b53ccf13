import json
import os

import pytest
import yaml
from some_recipes import PAIRS, QUESTIONS

from align.errors import RunFolderError
from align.recipe.yaml_loader import load_yaml
from align.runs.folder import MAY_CHANGE, check_same_data, check_same_run, record_run
from align.versions import PACKAGES, installed_version

RESOLVED = {"method": QUESTIONS, "learning_rate": 1e-06, "dataset": {"path": "a.jsonl"}, "max_steps": 10}


def snapshot(folder):
    return {path: path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


def test_the_same_recipe_may_continue(tmp_path):
    record_run(tmp_path, RESOLVED, {})
    check_same_run(tmp_path, RESOLVED)
    check_same_run(tmp_path / "new", RESOLVED)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"learning_rate": 1e-5}, "`learning_rate: 1e-06`, now it is `1e-05`"),
        ({"dataset": {"path": "b.jsonl"}}, "`dataset.path: a.jsonl`, now it is `b.jsonl`"),
        ({"beta": 0.1}, "`beta: 0.0`, now it is `0.1`"),
        ({"method": PAIRS}, f"`method: {QUESTIONS}`, now it is `{PAIRS}`"),
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
    record_run(tmp_path, RESOLVED | {"learning_rate": 1e-5}, {})
    with pytest.raises(RunFolderError, match="`learning_rate: 1e-05`, now it is `1e-06`"):
        check_same_run(tmp_path, {key: value for key, value in RESOLVED.items() if key != "learning_rate"})


@pytest.mark.parametrize("name", sorted(MAY_CHANGE))
def test_a_run_may_be_made_longer_or_logged_differently(tmp_path, name):
    record_run(tmp_path, RESOLVED, {})
    check_same_run(tmp_path, RESOLVED | {name: 7})


def test_a_default_may_be_written_and_left_out(tmp_path):
    record_run(tmp_path, RESOLVED | {"seed": 42}, {})
    defaults = {"save_only_model": False, "log_completions": True, "model_revision": None, "on_invalid": "skip"}
    check_same_run(tmp_path, RESOLVED | defaults | {"dataset": {"path": "a.jsonl", "split": None}})
    with pytest.raises(RunFolderError, match="`seed: 42`, now it is `7`"):
        check_same_run(tmp_path, RESOLVED | {"seed": 7})


def test_workers_may_change_where_they_load_the_same_batches(tmp_path):
    pairs = RESOLVED | {"method": PAIRS}
    streamed = pairs | {"dataset": {"path": "a.jsonl", "streaming": True}}
    for folder, before in (("set", pairs), ("stream", streamed)):
        record_run(tmp_path / folder, before, {})
    check_same_run(tmp_path / "set", pairs | {"dataloader_num_workers": 2, "dataloader_prefetch_factor": 4})
    with pytest.raises(RunFolderError, match="`dataloader_num_workers: 0`, now it is `2`"):
        check_same_run(tmp_path / "stream", streamed | {"dataloader_num_workers": 2})


@pytest.mark.parametrize("sets", [{"path": "{}/a.jsonl"}, {"mix": [{"path": "{}/a.jsonl"}, {"path": "{}/b.jsonl"}]}])
def test_files_of_noted_content_may_lie_elsewhere(tmp_path, sets):
    def at(place, eval_name="c.jsonl"):
        text = json.dumps(sets | {"eval_path": f"{{}}/{eval_name}"}).replace("{}", place)
        return RESOLVED | {"dataset": json.loads(text)}

    record_run(tmp_path / "noted", at("/old"), {"data": {"a.jsonl": "1", "b.jsonl": "2", "c.jsonl": "3"}})
    record_run(tmp_path / "not", at("/old"), {})
    check_same_run(tmp_path / "noted", at("/new"))
    with pytest.raises(RunFolderError, match=r"`dataset.eval_path: /old/c.jsonl`, now it is `/new/a.jsonl`"):
        check_same_run(tmp_path / "noted", at("/new", "a.jsonl"))
    with pytest.raises(RunFolderError, match=r"`dataset.eval_path: /old/c.jsonl`, now it is `/new/c.jsonl`"):
        check_same_run(tmp_path / "not", at("/new"))


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


@pytest.mark.parametrize(
    "content", ["", "method: [", "[1, 2]", "null", "a: 1", "method: x", "\x00", "method: !!python/object:os.x {}"]
)
def test_a_torn_recipe_of_a_run_is_named(tmp_path, content):
    (tmp_path / "recipe.yaml").write_text(content)
    with pytest.raises(RunFolderError, match=r"recipe.yaml cannot be read .* start a new run"):
        check_same_run(tmp_path, RESOLVED)


def test_changed_data_are_refused_with_both_fingerprints_or_gone_on_with(tmp_path):
    record_run(tmp_path, RESOLVED, {"data": {"a.jsonl": "0123456789abcdef", "b.jsonl": "same"}})
    assert check_same_data(tmp_path, {"a.jsonl": "0123456789abcdef", "b.jsonl": "same"}, allow_changed=False) is None
    now = {"a.jsonl": "fedcba9876543210", "b.jsonl": "same"}
    with pytest.raises(
        RunFolderError, match=r"a.jsonl \(SHA-256 0123456789ab, now fedcba987654\).*--allow_changed_data"
    ):
        check_same_data(tmp_path, now, allow_changed=False)
    assert "a.jsonl" in check_same_data(tmp_path, now, allow_changed=True)
    with pytest.raises(RunFolderError, match=r"b.jsonl \(SHA-256 same, now none\)"):
        check_same_data(tmp_path, {"a.jsonl": "0123456789abcdef"}, allow_changed=False)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"data": 3}', '{"data": [1]}'])
def test_a_torn_note_of_the_data_is_named(tmp_path, content):
    (tmp_path / "versions.json").write_text(content)
    with pytest.raises(RunFolderError, match=r"versions\.json cannot be read"):
        check_same_data(tmp_path, {"a.jsonl": "x"}, allow_changed=False)

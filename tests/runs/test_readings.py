import json
from contextlib import nullcontext

import pytest
import yaml
from saved_checkpoint import save_checkpoint
from some_recipes import PAIRS, PROMPTS

from align.errors import RunFolderError
from align.recipe.recipe import load_recipe
from align.runs.agreement import agree_on_data, agree_on_stage
from align.runs.checkpoints import MANIFEST, read_manifest
from align.runs.folder import record_run
from align.runs.peers import Peers
from align.runs.readings import changes, noted_readings, readings_note
from align.runs.stages import Stage, ToDo

WEIGHTS = bytes(range(256)) * 400
DATA = {"train.jsonl": "1" * 64}


@pytest.fixture
def recipe(tmp_path):
    """Writes a recipe, and once what it names."""

    def write(method=PROMPTS, **changes):
        if not (tmp_path / "model").exists():
            write_model(tmp_path / "model")
            write_model(tmp_path / "judge")
            (tmp_path / "own.py").write_text("def variety(completions, **kwargs): ...")
            (tmp_path / "tool.py").write_text("def look_up(word: str) -> str: ...")
        content = {"method": method, "model_name_or_path": "./model", "dataset": {"path": "./train.jsonl"}}
        if method == PROMPTS:
            content |= {"reward_funcs": ["./own.py:variety", "./judge"], "tools": ["./tool.py:look_up"]}
        content |= {"output_dir": str(tmp_path / "run"), **changes}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
        return load_recipe(tmp_path / "recipe.yaml")

    return write


def write_model(folder, weights=WEIGHTS):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(weights)


def start(recipe, tmp_path, step=4):
    """Starts a run and makes steps of it; returns what is left."""
    record(Stage(recipe, None))
    return at_step(recipe, tmp_path, step)


def at_step(recipe, tmp_path, step):
    saved = save_checkpoint(tmp_path / "run", step)
    return Stage(recipe, saved, manifest=read_manifest(saved / MANIFEST))


def record(stage, data=DATA):
    record_run(stage.folder, stage.recipe.resolved, {"data": data} | readings_note(stage, data))


def goes_on(stage, data=DATA, **how):
    said = agree_on_data(Peers(), stage, data, **{"allow_changed": False, **how})
    record(stage, data)
    return said


@pytest.mark.parametrize(
    ("sharding", "message"),
    [("none", None), ("zero3", "was written with no sharding, and this run is started with ZeRO-3")],
)
def test_a_checkpoint_of_another_launch_is_refused(recipe, tmp_path, sharding, message):
    stage = start(recipe(), tmp_path)
    assert (stage.manifest.sharding, stage.manifest.processes) == ("none", 1)
    with nullcontext() if message is None else pytest.raises(RunFolderError, match=message):
        agree_on_stage(Peers(), stage.recipe, "auto", True, sharding)


def test_code_and_models_that_a_recipe_names_are_noted(recipe, tmp_path):
    start(recipe(run_name=str(tmp_path / "judge-2")), tmp_path)
    (reading,) = noted_readings(tmp_path / "run")
    assert reading.step == 0
    assert set(reading.digests) == {"model", "judge", "own.py", "tool.py", "train.jsonl"}


@pytest.mark.parametrize("name", ["own.py", "tool.py", "judge", "model"])
def test_what_is_another_file_is_said_with_the_step_it_counts_from_and_stays_in_the_record(recipe, tmp_path, name):
    stage = start(recipe(), tmp_path)
    assert goes_on(stage) == []
    path = tmp_path / name
    if path.is_file():
        path.write_text(path.read_text() + "  # mended")
    else:
        write_model(path, WEIGHTS[::-1])  # as long as before
    (sentence,) = goes_on(stage)
    assert sentence.startswith(f"{name} was exchanged before step 5 (fingerprint ")
    later = at_step(stage.recipe, tmp_path, 8)
    assert goes_on(later) == []
    assert list(changes(noted_readings(tmp_path / "run"))) == [sentence]


def test_data_that_were_allowed_to_change_stay_in_the_record(recipe, tmp_path):
    (sentence,) = goes_on(start(recipe(), tmp_path), {"train.jsonl": "2" * 64}, allow_changed=True)
    assert "trained on other data: train.jsonl (SHA-256 111111111111, now 222222222222)" in sentence
    assert list(changes(noted_readings(tmp_path / "run"))) == [
        "train.jsonl was exchanged before step 5 (fingerprint 111111111111 until then, now 222222222222)."
    ]


def test_what_counted_behind_the_checkpoint_counts_no_more(recipe, tmp_path):
    stage = start(recipe(), tmp_path)
    later = at_step(stage.recipe, tmp_path, 8)
    before = (tmp_path / "own.py").read_text()
    (tmp_path / "own.py").write_text("def variety(completions, **kwargs): return 1")
    assert "own.py was exchanged before step 9" in goes_on(later)[0]
    assert "own.py was exchanged before step 5" in goes_on(stage)[0]  # the checkpoint is of the old file
    (tmp_path / "own.py").write_text(before)
    assert goes_on(stage) == []
    assert list(changes(noted_readings(tmp_path / "run"))) == []


def test_a_run_whose_note_is_missing_goes_on_without_a_word_and_has_one_then(recipe, tmp_path):
    asked = recipe(PAIRS)
    record_run(tmp_path / "run", asked.resolved, {"data": DATA})
    stage = at_step(asked, tmp_path, 4)
    assert goes_on(stage) == []
    assert [reading.step for reading in noted_readings(tmp_path / "run")] == [4]
    write_model(tmp_path / "model", WEIGHTS[::-1])
    assert goes_on(stage) == []  # which of them the checkpoint is of, nobody noted
    write_model(tmp_path / "model", WEIGHTS)
    with pytest.raises(RunFolderError, match="another model"):
        goes_on(at_step(stage.recipe, tmp_path, 8))


@pytest.mark.parametrize(
    ("method", "settings", "depends"),
    [
        (PROMPTS, {"use_peft": True}, "the adapter"),
        (PROMPTS, {"beta": 0.1}, "the reference"),
        (PROMPTS, {"beta": 0.1, "sync_ref_model": True}, None),
        (PROMPTS, {}, None),
        (PAIRS, {}, "the reference"),
        (PAIRS, {"precompute_ref_log_probs": True, "spans": "whole", "kl_coef": 0}, "the reference"),
    ],
)
def test_another_base_is_refused_where_something_in_the_checkpoint_belongs_to_the_old_one(
    recipe, tmp_path, method, settings, depends
):
    stage = start(recipe(method, **settings), tmp_path)
    assert goes_on(stage) == []
    (tmp_path / "model" / "config.json").write_text('{"rope_theta": 1}')
    recorded = (tmp_path / "run" / "versions.json").read_text()
    if depends is not None:
        folder = tmp_path / "model"
        with pytest.raises(RunFolderError, match=rf"another model: {folder} .* {depends} of checkpoint-4 belongs"):
            goes_on(stage)
        assert (tmp_path / "run" / "versions.json").read_text() == recorded
    (sentence,) = goes_on(stage, allow_changed=depends is not None)
    assert "model was exchanged before step 5" in sentence
    assert goes_on(at_step(stage.recipe, tmp_path, 8)) == []


def test_a_run_that_lacks_its_end_only_reads_none_of_it(recipe, tmp_path):
    stage = start(recipe(), tmp_path)
    (tmp_path / "own.py").write_text("")
    assert agree_on_data(Peers(), stage._replace(todo=ToDo.END), DATA, allow_changed=False) == []


def test_a_run_that_goes_on_in_another_folder_takes_the_record_along(recipe, tmp_path):
    stage = start(recipe(), tmp_path)
    (tmp_path / "own.py").write_text("")
    moved = stage._replace(recipe=recipe(output_dir=str(tmp_path / "other")))
    (sentence,) = goes_on(moved)
    assert list(changes(noted_readings(tmp_path / "other"))) == [sentence]


@pytest.mark.parametrize("entry", [3, [1], [{"step": 1}], [{"step": "x", "digests": {}}], [{"step": 1, "digests": 3}]])
def test_a_torn_note_is_named(tmp_path, entry):
    (tmp_path / "versions.json").write_text(json.dumps({"read": entry}))
    with pytest.raises(RunFolderError, match=r"versions\.json cannot be read"):
        noted_readings(tmp_path)

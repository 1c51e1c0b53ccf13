"""Which checkpoint holds the model of a run that made all its steps, and what is said where it cannot be written."""

import json
import resource
import shutil

import pytest
import torch
from saved_checkpoint import save_checkpoint

from align.errors import RecipeError, RunFolderError
from align.recipe.recipe import load_recipe
from align.runs.checkpoints import write_manifest
from align.services.one_run import _room_named, _with_model

BEST = ["--load_best_model_at_end", "true", "--eval_strategy", "steps", "--eval_steps", "2"]
BEST += ["--dataset.eval_path", "./train.jsonl"]


@pytest.fixture
def last(tmp_path):
    """The last checkpoint of a run folder that was moved; an earlier one is the best."""
    before = save_checkpoint(tmp_path / "before", 2)
    checkpoint = save_checkpoint(tmp_path / "before", 4)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"best_model_checkpoint": str(before)}))
    (checkpoint / "manifest.json").unlink()
    facts = {"step": 4, "max_steps": 4, "epoch": 1.0, "processes": 1, "sharding": "none", "resumable": True}
    write_manifest(checkpoint, facts)
    shutil.move(tmp_path / "before", tmp_path / "after")
    return tmp_path / "after" / "checkpoint-4"


@pytest.mark.parametrize(("words", "step"), [(BEST, 2), ([], 4)])
def test_the_best_checkpoint_holds_the_model_only_where_the_recipe_says_so(tiny_recipe, last, words, step):
    assert _with_model(last, load_recipe(tiny_recipe(), words)) == last.with_name(f"checkpoint-{step}")


def test_the_best_checkpoint_may_lie_in_the_folder_from_which_a_run_went_on(tiny_recipe, last, tmp_path):
    best = tmp_path / "before" / "checkpoint-2"  # as it is noted
    best.parent.mkdir()
    last.with_name(best.name).rename(best)
    assert _with_model(last, load_recipe(tiny_recipe(), BEST)) == best


def test_an_evaluation_that_is_not_saved_could_not_be_the_best(tiny_recipe):
    with pytest.raises(
        RecipeError, match=r"needs `save_steps` equal to `eval_steps`, so that the best was saved; got 4.* and 2"
    ):
        load_recipe(tiny_recipe(), [*BEST, "--save_steps", "4"])
    load_recipe(tiny_recipe(), [*BEST, "--save_strategy", "best", "--metric_for_best_model", "loss"])


def test_a_best_checkpoint_that_is_not_whole_is_said(tiny_recipe, last, capsys):
    (last.with_name("checkpoint-2") / "model.safetensors").unlink()
    assert _with_model(last, load_recipe(tiny_recipe(), BEST)) == last
    assert "model.safetensors is missing. The model is that of checkpoint-4." in capsys.readouterr().err


@pytest.fixture
def small_files():
    """Lets files grow to 64 KiB, as `ulimit -f` does; what a write beyond a quota meets is worded alike."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


WRITES = [lambda path: torch.save(torch.zeros(2**16), path), lambda path: path.write_bytes(b"0" * 2**18)]


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.usefixtures("small_files")
def test_a_limit_that_ends_a_write_is_a_sentence(tmp_path, write):
    save_checkpoint(tmp_path, 2)
    said = r"a quota, or the limit of a file's size .* checkpoint-2: `--resume auto`"
    with pytest.raises(RunFolderError, match=said), _room_named(tmp_path):
        write(tmp_path / "optimizer.pt")

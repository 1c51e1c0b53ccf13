from importlib.util import find_spec

import pytest

from align.assets import asset_dir
from align.checks.launch import Launch, check_processes, read_launch
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare


@pytest.mark.parametrize(
    ("keys", "words"),
    [({"fsdp": True}, "`fsdp: true` is for"), ({"ddp_backend": "gloo"}, "`ddp_backend: gloo` is for")],
)
def test_settings_of_several_processes_are_told_where_there_is_one(tiny_recipe, keys, words):
    recipe = load_recipe(tiny_recipe(reward_funcs=["format"], reward_weights=[1.0], **keys))
    (error,) = prepare(recipe, Launch()).errors
    assert error.text.startswith(words)
    assert check_processes(recipe, Launch(num_processes=2)) == []


def test_deepspeed_without_a_launcher_is_told_before_training(tiny_recipe):
    recipe = load_recipe(tiny_recipe(deepspeed={"zero_optimization": {"stage": 2}}))
    assert find_spec("mpi4py") is None
    (error,) = check_processes(recipe, Launch())
    assert error.text.startswith("`deepspeed` needs a launcher, also for one process.")
    assert check_processes(recipe, Launch(zero_stage=2)) == []
    assert (
        check_processes(recipe, read_launch(asset_dir("ds_configs") / "ddp_cpu.yaml")._replace(num_processes=1)) == []
    )


def test_a_folder_without_a_model_is_told_before_training(tiny_recipe, tmp_path):
    (tmp_path / "empty").mkdir()
    (error,) = prepare(load_recipe(tiny_recipe(model_name_or_path="./empty")), Launch()).errors
    assert "holds no model: it has no config.json" in error.text

import random

import pytest

from align.assets import find_recipe
from align.recipe.recipe import load_recipe
from scripts.labs.tools import lab
from scripts.labs.tools.lab import demonstration, is_called, make_rows, make_world


@pytest.fixture(scope="module")
def recipe():
    return load_recipe(find_recipe(lab.RECIPE), ["--max_steps", "1", "--per_device_train_batch_size", "8"])


def test_every_price_moves_and_half_of_the_items_are_known(recipe):
    folder = find_recipe(lab.RECIPE).parent / recipe.model.model_name_or_path
    world = make_world(folder.parent, 3)
    assert all(world.old[item] != world.moved[item] for item in world.old)
    assert len(world.known) == len(world.old) // 2
    assert make_world(folder.parent, 3)[1:] == world[1:] != make_world(folder.parent, 4)[1:]
    assert {row["answer"] for row in make_rows(world, world.old)} == {str(price) for price in world.old.values()}
    talks = [demonstration(world, random.Random(i)) for i in range(200)]
    assert 60 < sum(len(talk) == 4 for talk in talks) < 140


def test_right_answers_are_paid_behind_a_call_only():
    answer = {"role": "assistant", "content": "<answer>3</answer>"}
    told = [{"role": "assistant", "content": ""}, {"role": "tool", "name": "price", "content": "3"}, answer]
    assert is_called([told, [answer], told], ["3", "3", "4"]) == [1.0, 0.0, 0.0]


@pytest.mark.slow
@pytest.mark.by_day("sft", "grpo+shuffled", "acre")
@pytest.mark.parametrize("arm", lab.ARMS)
def test_an_arm_trains_and_is_asked_again_after_the_move(recipe, monkeypatch, arm):
    monkeypatch.setattr(lab, "TEACHING_STEPS", 2)
    found = lab.run_arm(arm, 0, recipe)
    assert 0 <= found["known"] <= 1
    assert ("trained" in found) == (arm != "sft")

"""The world of `recipes/acre/quickstart-vision.yaml`: the place is the only shortcut, and looking can be learnt."""

import random
from collections import Counter
from pathlib import Path

import pytest
from loaded_script import load_script

pytest.importorskip("PIL.Image", reason="needs the extra `vision`")
pytest.importorskip("torchvision", reason="needs the extra `vision`")

from align.assets import find_recipe
from align.data.questions.multiple_choice import load_questions
from align.methods.acre.data import load
from align.recipe.recipe import load_recipe
from rewards.reading.responses import parse_response

LAB = Path(__file__).resolve().parents[2] / "recipes/acre/assets/vision"


@pytest.fixture(scope="module")
def make():
    return load_script("labs.vision.make")


@pytest.fixture(scope="module")
def lab():
    return load_script("labs.vision.lab")


def test_without_notes_the_place_is_the_only_shortcut():
    train, held_out = (load_questions(LAB / f"{name}.parquet")[0] for name in ("train", "eval"))
    assert not any(" note " in question.question for question in [*train, *held_out])
    for group, size in (("own", 480), ("mixed-up", 320)):
        of_group = [question for question in train if question.group == group]
        assert (len(of_group), sum(question.answer == 0 for question in of_group)) == (size, 0.75 * size)
    assert Counter(question.answer for question in held_out) == dict.fromkeys(range(4), 60)


@pytest.mark.nightly
def test_the_misreader_sees_half_of_the_kinds_and_is_right_on_what_it_says(lab):
    world, measure, arms = (load_script(f"labs.vision.{name}") for name in ("world", "measure", "arms"))
    recipe = load_recipe(find_recipe(lab.RECIPE))
    asked = load_questions(str(recipe.dataset.eval_path))[0]
    right = {}
    for kinds in (("colour", "shape"), ("number", "way")):
        of_kinds = [q for q in asked if any(q.options[0] in world.OPTIONS[kind] for kind in kinds)]
        metrics = measure.measure_answers(*arms.load_policy(recipe), of_kinds, load(recipe).extra)
        right[kinds[0]] = metrics["accuracy"]
        assert metrics["trace_answer_consistency"] > 0.95
    assert right["colour"] < 0.4 < 0.8 < right["number"]


def test_demonstrations_of_the_misreader_name_the_option_behind_the_right_one(make):
    rng, reader = random.Random(0), make.READERS["misreader"]
    stated = {stage: [] for stage in ("see", "task")}
    for stage, traces in stated.items():
        for _ in range(600):
            drawn = make.demonstrate_answer(stage, rng, reader)
            assert " note " not in drawn.prompt
            colours = [line.partition(". ")[2] for line in drawn.prompt.split("\n")[1:]]
            if "colour of" in drawn.prompt and len(set(colours)) == 4:
                traces.append(parse_response(drawn.response).trace in seen_colours(make, drawn))
    assert len(stated["see"]) > 100
    assert all(stated["see"])
    assert sum(stated["task"]) / len(stated["task"]) < 0.7  # other shapes of the scene can have the colour


def seen_colours(make, drawn):
    found = {rgb for _, rgb in drawn.images[0].getcolors(9999)}
    return {name for name, rgb in make.COLOURS.items() if rgb in found}


@pytest.mark.parametrize(
    ("grpo", "acre", "exploring", "holds"),
    [
        (0.3, 0.7, (0.12, 0.5), [True, True, True, True]),
        (0.6, 0.65, (0.09, 0.5), [False, False, False, True]),
        (0.3, 0.7, (0.12, 0.7), [True, True, True, False]),
    ],
)
def test_a_policy_that_can_learn_to_look_is_compared_with_its_start(lab, grpo, acre, exploring, holds):
    explored = dict(zip(("entropy", "frac_reward_zero_std"), exploring, strict=True))
    sft, of_grpo, of_acre = (
        {"option_shuffle_consistency": consistency, "accuracy/clean": clean, **explored}
        for consistency, clean in ((1.0, 0.58), (0.2, grpo), (0.9, acre))
    )
    runs = {"sft": [sft], "grpo": [of_grpo] * 2, "acre": [of_acre] * 2}
    assert list(lab.check_answers(runs, learnable=True).values())[1:5] == holds
    assert len(lab.check_answers(runs)) == len(lab.check_answers(runs, learnable=True)) - 4


def test_words_for_the_recipe_reach_the_recipe(lab):
    arguments, overrides = lab.read_arguments(["--seeds", "1", "--beta", "0.2", "--seed", "3"])
    assert arguments.seeds == 1
    assert overrides == ["--beta", "0.2", "--seed", "3"]

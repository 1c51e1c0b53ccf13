import json
import re
import shutil

import pytest
import yaml

from align.checks.launch import Launch
from align.errors import DataError, RecipeError
from align.methods.acre.data import check_answer_reward, check_families, check_golds
from align.methods.acre.data import load as load_data
from align.methods.acre.data import load_prompts as load
from align.models.rewards import resolve_rewards
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

ROWS = [{"id": f"p{i}", "prompt": f"Ann has {i}. Who?", "answer": "Ann"} for i in range(8)]
QUESTIONS = [{"question": f"which {i}?", "options": ["tin", "gold"], "answer": "A"} for i in range(8)]
FAMILIES = """
import random
def rename(row, rng):
    return row["prompt"].replace("Ann", "Bob"), "Bob"
def last(row, rng):
    return (row["prompt"] + " Now!", row["answer"]) if row["id"] == "p7" else None
def none(row, rng):
    return None
def raises(row, rng):
    if row["id"] == "p5":
        raise KeyError("facts")
    return rename(row, rng)
def wild(row, rng):
    return f"{row['prompt']} {random.random()}", row["answer"]
"""


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    def write(rows=ROWS, **changes):
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "own.py").write_text(FAMILIES)
        shutil.copytree(tiny_model_folder, tmp_path / "model", dirs_exist_ok=True)
        content = {
            "method": "acre", "model_name_or_path": "./model", "output_dir": str(tmp_path / "run"),
            "dataset": {"path": "./train.jsonl"}, "families": ["./own.py:rename"], "answer_reward": "text_accuracy",
            "reward_funcs": ["answer_consistency"], "audit_funcs": ["text_accuracy"], "num_generations": 4,
            "per_device_train_batch_size": 8, "max_completion_length": 8, "max_steps": 2, "use_cpu": True,
            "bf16": False, "second_answer_tokens": 32,
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        kept = {key: value for key, value in (content | changes).items() if value is not None}
        path.write_text(yaml.safe_dump(kept))
        return path

    return write


def findings(path):
    """Checks what is about families, without trying the rewards."""
    recipe = load_recipe(path)
    data = load(recipe)
    found = check_answer_reward(recipe, resolve_rewards(recipe)) + check_golds(recipe, data)
    if not any(finding.level == "error" for finding in found):
        found += check_families(recipe, data)
    return [(finding.level, finding.text) for finding in found]


def test_a_recipe_that_is_right_says_what_its_family_does(recipe):
    found = prepare(load_recipe(recipe()), Launch()).findings
    expected = "Family `rename` changes 8 of 8 rows that were tried, and the right answer to 8 of them."
    assert [f.text for f in found if f.check == "families"] == [expected]
    assert [f.text for f in found if f.level != "ok"] == []


@pytest.mark.parametrize(
    ("family", "level", "message"),
    [
        ("none", "error", "Family `none` changes none of 8 rows that were tried"),
        ("raises", "error", "Family `raises`, row 'p5': it raised KeyError: 'facts'"),
        ("wild", "error", "gives another version when it is called again"),
        ("last", "warning", "No family changes 7 of 8 rows that were tried, and they are rewarded as by GRPO."),
    ],
)
def test_families_are_tried_before_training(recipe, family, level, message):
    found = findings(recipe(families=[f"./own.py:{family}"]))
    assert found[-1][0] == level
    assert message in found[-1][1]


def test_two_families_are_looked_at_together(recipe):
    found = findings(recipe(families=["./own.py:last", "distractor"]))
    assert [level for level, _ in found] == ["ok", "ok"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": ["./gone.py:rename"]}, "no such file"),
        ({"families": ["option_order"]}, "which changes the options of a question or needs some"),
        ({"rows": QUESTIONS}, "With `families` the rows are prompts"),
    ],
)
def test_what_is_not_there_is_an_error_of_the_data(recipe, changes, message):
    with pytest.raises(ValueError, match=message):
        load_data(load_recipe(recipe(**changes)))


def test_prompts_without_families_are_no_questions(recipe):
    path = recipe(families=None, answer_reward=None, second_answer_tokens=None)
    with pytest.raises(DataError, match="Prompts without options need `families`"):
        load_data(load_recipe(path))


def test_rows_without_a_right_answer_are_counted_and_named(recipe):
    (found,) = findings(recipe([*ROWS, {"id": "p8", "prompt": "Who?", "answer": None}]))
    assert found[0] == "error"
    assert "1 of 9 rows have no `answer`" in found[1]
    assert "(p8)" in found[1]


def test_right_answers_longer_than_second_ones_may_be(recipe):
    found, _ = findings(recipe(second_answer_tokens=3))
    assert found[0] == "warning"
    assert (
        "8 of 8 right answers take more than `second_answer_tokens: 3` tokens with their closing tag, up to 4"
        in found[1]
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer_reward": None}, "`families` needs `answer_reward`"),
        ({"answer_reward": "format"}, r"must name one of .*\(answer_consistency, text_accuracy\); got 'format'"),
        ({"answer_reward": "answer_consistency"}, "itself waits for second answers"),
        ({"gold_column": "prompt_answer"}, "reads answer, and `gold_column` is 'prompt_answer'"),
    ],
)
def test_an_answer_reward_that_cannot_judge(recipe, changes, message):
    rows = [row | {"prompt_answer": "Ann"} for row in ROWS]
    found = findings(recipe(rows, **changes))
    assert found[0][0] == "error"
    assert re.search(message, found[0][1])


def test_a_recipe_in_which_nothing_waits_for_second_answers(recipe):
    changes = {"reward_funcs": ["text_accuracy"], "audit_funcs": None}
    assert "this is GRPO" in findings(recipe(**changes))[0][1]
    assert all(level == "ok" for level, _ in findings(recipe(**changes, second_pass_rows="all")))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": None, "second_answer_tokens": None}, "`answer_reward` is about answers that are texts"),
        ({"families": None, "answer_reward": None}, "`second_answer_tokens` is about answers that are texts"),
        ({"exclude_identity": True}, "`exclude_identity` is about letters of options"),
        ({"scrub_letters": True}, "`scrub_letters` is about letters of options"),
        ({"families": ["distractor", "distractor"]}, "`families` names a family twice"),
        ({"second_answer_tokens": 0}, "`second_answer_tokens` must be at least 1"),
        ({"second_answer_temperature": -1}, "`second_answer_temperature` must be at least 0"),
        (
            {"dataset": {"path": "./train.jsonl", "shuffle_options": True}},
            "`shuffle_options` needs a `prompt_template` with {question}",
        ),
    ],
)
def test_keys_that_do_not_go_together_are_refused_at_once(recipe, changes, message):
    with pytest.raises(RecipeError, match=message):
        load_recipe(recipe(**changes))

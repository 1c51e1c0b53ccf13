import json

import pytest
import yaml
from calling import SHOP
from tiny import tiny_model, tiny_tokenizer

import align
from align.checks.launch import Launch
from align.errors import RecipeError, UserError
from align.methods.acre.build import card
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare

OWN = """
def never(version, rng):
    return None
def raises(version, rng):
    raise KeyError("fact")
def told(version, rng):
    return f"{version['tool']} {version['arguments']} {version['turn']} {len(version['others'])}: {version.question}"
"""


@pytest.fixture
def recipe(tmp_path):
    def write(**changes):
        (tmp_path / "own.py").write_text(OWN)
        content = {
            "method": "acre", "model_name_or_path": str(SHOP / "model"), "output_dir": str(tmp_path / "run"),
            "dataset": {"path": str(SHOP / "train.jsonl")}, "tools": [f"{SHOP}/shop.py:price"],
            "families": ["other_value"], "answer_reward": "number_accuracy", "reward_funcs": ["answer_consistency"],
            "audit_funcs": ["number_accuracy"], "num_generations": 4, "per_device_train_batch_size": 8,
            "max_completion_length": 40, "max_steps": 2, "use_cpu": True, "bf16": False,
        }  # fmt: skip
        kept = {key: value for key, value in (content | changes).items() if value is not None}
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(kept))
        return tmp_path / "recipe.yaml"

    return write


def found(path, check):
    findings = prepare(load_recipe(path), Launch()).findings
    return [(each.level, each.text) for each in findings if each.check == check]


def test_families_are_tried_on_results_that_are_the_right_answer(recipe):
    path = recipe(families=["other_value", "error", "./own.py:told"])
    assert found(path, "families") == [
        ("ok", "Family `other_value` changes 36 of 36 rows that were tried, and the right answer to 36 of them."),
        ("ok", "Family `error` changes 36 of 36 rows that were tried, and the right answer to 36 of them."),
        ("ok", "Family `told` changes 36 of 36 rows that were tried."),
    ]
    assert [level for level, _ in found(path, "tools")] == ["ok", "ok"]


def test_a_family_that_fails_stops_and_one_that_changes_nothing_warns(recipe):
    ((level, text),) = found(recipe(families=["./own.py:raises"]), "families")
    assert (level, "it raised KeyError: 'fact'" in text) == ("error", True)
    ((level, text),) = found(recipe(families=["./own.py:never"]), "families")
    assert level == "warning"
    assert text.endswith(
        "Tried were results that are the right answer and nothing else: what your tools return may differ."
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"families": None, "answer_reward": None}, "need `families`, which say how a result is changed"),
        ({"families": ["distractor"]}, "names 'distractor', which changes a prompt, and with tools"),
        ({"tools": None}, "names 'other_value', which changes the result of a tool, and there are no tools"),
        ({"tools": None, "families": ["distractor"], "without_result": "grpo"}, "`without_result` is about answers"),
        ({"scrub_letters": True}, "`scrub_letters` is about letters of options"),
        ({"without_result": "nothing"}, "must be one of first_only, grpo; got 'nothing'"),
        ({"tools": ["price"]}, "`tools` must be written path/to/file.py:name"),
    ],
)
def test_what_does_not_go_together_is_refused(recipe, changes, message):
    with pytest.raises(RecipeError) as caught:
        load_recipe(recipe(**changes))
    assert message in str(caught.value)


def test_an_environment_is_tried_as_by_grpo(recipe):
    path = recipe(tools=None, environment_factory=f"{SHOP}/shop.py:Shop", second_pass="forward")
    told = [each for each in found(path, "tools") if "MB are free" not in each[1]]  # which a busy machine may lack
    assert {level for level, _ in told} == {"ok"}


def test_the_card_says_what_was_changed(recipe):
    loaded = load_recipe(recipe())
    made = card(loaded, [json.loads(line) for line in (SHOP / "train.jsonl").read_text().splitlines()])
    assert made.facts == {"results of tools changed by": "`other_value`"}


def test_a_template_that_knows_no_tools_is_refused(recipe, tmp_path):
    tiny_model(vocabulary=len(tiny_tokenizer())).save_pretrained(tmp_path / "plain")
    tiny_tokenizer().save_pretrained(tmp_path / "plain")
    assert "error" in [level for level, _ in found(recipe(model_name_or_path=str(tmp_path / "plain")), "tools")]


def test_a_rehearsal_says_what_it_cannot(recipe, tmp_path):
    with pytest.raises(UserError, match="Second answers behind results of tools are not rehearsed"):
        align.rehearse(recipe(), out=str(tmp_path / "rehearsed"), num_prompts=4)

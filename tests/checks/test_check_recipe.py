from align.checks.launch import Launch
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare


def test_a_good_recipe_has_no_errors_and_hands_on_what_it_read(tiny_recipe):
    checked = prepare(load_recipe(tiny_recipe()), Launch())
    assert checked.errors == []
    assert {finding.check for finding in checked.findings} == {
        "versions", "data", "batch", "rewards", "lengths", "rows", "memory", "room",
    }  # fmt: skip
    assert len(checked.data.rows) == 40
    assert [reward.__name__ for reward in checked.rewards] == ["answer_consistency", "variety"]


def test_independent_faults_are_all_found_at_once(tiny_recipe):
    path = tiny_recipe(
        model_name_or_path="./none", reward_funcs=["acuracy"], reward_weights=[1.0], num_generations=3,
    )  # fmt: skip
    errors = prepare(load_recipe(path), Launch()).errors
    assert {finding.check for finding in errors} == {"model", "rewards", "batch"}
    assert any("There is no folder" in finding.text and "none" in finding.text for finding in errors)


def test_data_that_cannot_be_read_is_an_error_and_not_a_traceback(tiny_recipe):
    checked = prepare(load_recipe(tiny_recipe(dataset={"path": "./none.jsonl"})), Launch())
    assert checked.data is None
    (error,) = checked.errors
    assert error.check == "data"
    assert "none.jsonl" in error.text

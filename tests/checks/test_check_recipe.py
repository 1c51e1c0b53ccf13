from types import SimpleNamespace

import pytest
from some_recipes import with_model

from align.checks.launch import Launch
from align.checks.recipe import check_settings
from align.recipe.fields import deprecations
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


def test_what_trl_will_not_take_any_more_is_named_with_what_to_write(tiny_recipe):
    def told(**changes):
        found = check_settings(*with_model(load_recipe(tiny_recipe(**changes))), Launch())
        return [each.text for each in found if each.check == "deprecated"]

    (text,) = told(vllm_importance_sampling_cap=2.0)
    assert "`vllm_importance_sampling_cap`: TRL says:" in text
    assert "Use `vllm_importance_sampling_clip_max` instead" in text
    assert told(vllm_importance_sampling_clip_max=2.0) == []


@pytest.mark.parametrize(
    ("file", "settings", "key"),
    [
        ("trainer/sft_config.py", {"truncation_mode": "keep_end"}, "truncation_mode"),
        ("trainer/sft_config.py", {"loss_type": "chunked_nll"}, "loss_type"),
        ("trainer/sft_trainer.py", {"label_smoothing_factor": 0.1, "loss_type": "nll"}, "label_smoothing_factor"),
        ("trainer/sft_trainer.py", {"use_liger_kernel": True}, "use_liger_kernel"),
        ("trainer/rloo_config.py", {"use_transformers_paged": True}, "use_transformers_paged"),
        ("trainer/sft_config.py", {"packing_strategy": "bfd-requeue"}, "packing_strategy"),
    ],
)
def test_every_deprecation_of_trl_is_found_in_its_source(file, settings, key):
    defaults = {"truncation_mode": "keep_start", "loss_type": "nll", "label_smoothing_factor": 0.0,
                "use_liger_kernel": False, "use_transformers_paged": False, "packing_strategy": "bfd",
                "pad_token": None, "vllm_importance_sampling_cap": None}  # fmt: skip
    assert list(deprecations(("trl", file), SimpleNamespace(**defaults | settings))) == [key]
    assert deprecations(("trl", file), SimpleNamespace(**defaults)) == {}

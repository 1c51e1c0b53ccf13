import json

import pytest
from some_recipes import with_model

from align.checks.model import check_experts
from align.recipe.recipe import load_recipe


def test_a_load_balancing_loss_needs_experts(tiny_recipe):
    (finding,) = check_experts(*with_model(load_recipe(tiny_recipe(router_aux_loss_coef=0.01))))
    assert (finding.level, finding.check) == ("error", "model")
    assert finding.text.startswith(
        "`router_aux_loss_coef: 0.01` weighs the load-balancing loss of a mixture of experts"
    )
    assert finding.text.endswith("is none. Remove it.")


@pytest.mark.parametrize("weight", [None, 0.0])
def test_without_a_weight_there_is_nothing_to_say(tiny_recipe, weight):
    assert check_experts(*with_model(load_recipe(tiny_recipe(router_aux_loss_coef=weight)))) == []


@pytest.mark.parametrize(
    "content",
    [
        {"model_type": "mixtral"},
        {"model_type": "mine", "auto_map": {}},
        {"model_type": "llama", "output_router_logits": False},
        {"model_type": "llava", "text_config": {"model_type": "mixtral"}},
        {},
    ],
)
def test_experts_and_models_that_do_not_tell_pass(tiny_recipe, content):
    path = tiny_recipe(router_aux_loss_coef=0.01)
    (path.parent / "model" / "config.json").write_text(json.dumps(content))
    assert check_experts(*with_model(load_recipe(path))) == []

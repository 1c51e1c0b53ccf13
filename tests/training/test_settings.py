"""What only TRL, transformers or torch can judge is tried before the model is loaded."""

import pytest

from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.training.build import build_config

REFUSED = [
    ({"generation_kwargs": {"early_stopping": "bar"}}, "`generation_kwargs: .*must be a boolean"),
    ({"optim": "sgd", "optim_args": "momentum=abc"}, "`optim_args: 'momentum=abc'` cannot be used. could not convert"),
    ({"optim": "sgd", "optim_args": "nesterov=true"}, "`optim_args: .*Nesterov momentum requires"),
    ({"fsdp": True, "fsdp_config": {"auto_wrap_policy": "x"}}, "`fsdp_config: {'auto_wrap_policy': 'x'}` cannot"),
    ({"num_generations": 8, "per_device_train_batch_size": 6}, "cannot be used. generation_batch_size"),
    (
        {
            "lr_scheduler_type": "warmup_stable_decay",
            "lr_scheduler_kwargs": {"num_decay_steps": 3, "warmup_type": "foo"},
        },
        "`lr_scheduler_kwargs: .*Unknown warmup type: foo",
    ),
]


@pytest.mark.parametrize(("keys", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_a_value_that_a_library_refuses_is_told_with_its_key(tiny_recipe, keys, message):
    with pytest.raises(RecipeError, match=message) as error:
        build_config(load_recipe(tiny_recipe(**keys)))
    assert "\n" not in str(error.value)


def test_what_works_is_built_and_the_recipe_stays_as_it_is(tiny_recipe):
    block = {"split_batches": False}
    recipe = load_recipe(tiny_recipe(accelerator_config=block, generation_kwargs={"temperature": 0.5}))
    config = build_config(recipe)
    assert config.accelerator_config.split_batches is False
    assert config.max_steps == 4
    assert recipe.settings.accelerator_config == block


def test_what_trackers_are_given_of_the_settings_has_no_secrets(tiny_recipe):
    token = "abcDEF0123456789"
    config = build_config(load_recipe(tiny_recipe(model_init_kwargs={"token": token}, hub_token=token)))
    assert config.model_init_kwargs["token"] == config.hub_token == token
    assert config.to_dict()["model_init_kwargs"]["token"] == "***"
    assert token not in config.to_json_string()

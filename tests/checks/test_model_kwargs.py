import pytest
from some_recipes import with_model

from align.checks.model import check_model_kwargs
from align.recipe.recipe import load_recipe


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"dtype": "float32", "device_map": "cpu", "low_cpu_mem_usage": True, "revision": "main", "use_kernels": False},
        {
            "attention_dropout": 0.1,
            "rope_parameters": {},
            "num_labels": 1,
            "use_cache": False,
            "output_attentions": True,
        },
    ],
)
def test_keys_of_loading_and_of_the_models_config_pass(tiny_recipe, keys):
    assert check_model_kwargs(*with_model(load_recipe(tiny_recipe(model_init_kwargs=keys)))) == []


def test_other_keys_are_refused_with_a_suggestion(tiny_recipe):
    recipe = load_recipe(tiny_recipe(model_init_kwargs={"dtyp": "float32", "atention_dropout": 0.1, "zzz": 1}))
    texts = [finding.text for finding in check_model_kwargs(*with_model(recipe)) if finding.level == "error"]
    assert len(texts) == 3
    assert "`model_init_kwargs.dtyp` is no setting of loading or of a model of type" in texts[0]
    assert "Did you mean 'dtype'?" in texts[0]
    assert "Did you mean 'attention_dropout'?" in texts[1]
    assert texts[2].endswith("Remove it.")


def test_of_a_model_that_is_elsewhere_unknown_keys_are_only_warned_of(tiny_recipe):
    recipe = load_recipe(tiny_recipe(model_name_or_path="owner/none", model_init_kwargs={"dtyp": 1, "dtype": "auto"}))
    (finding,) = check_model_kwargs(*with_model(recipe))
    assert finding.level == "warning"
    assert "not on this machine" in finding.text


@pytest.mark.parametrize(
    "content", ["", "[1]", '{"model_type": 3}', '{"model_type": "../x"}', '{"model_type": "nope"}']
)
def test_a_config_that_says_nothing_is_no_error(tiny_recipe, content):
    path = tiny_recipe(model_init_kwargs={"zzz": 1})
    (path.parent / "model" / "config.json").write_text(content)
    (finding,) = check_model_kwargs(*with_model(load_recipe(path)))
    assert finding.level == "warning"


@pytest.mark.parametrize("key", ["config", "state_dict", "output_loading_info"])
def test_keys_for_programs_are_no_settings_of_a_recipe(tiny_recipe, key):
    (finding,) = check_model_kwargs(*with_model(load_recipe(tiny_recipe(model_init_kwargs={key: {}}))))
    assert (finding.level, f"`model_init_kwargs.{key}` is no setting" in finding.text) == ("error", True)

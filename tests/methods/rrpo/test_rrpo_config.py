import pytest

from align.errors import RecipeError
from align.methods import METHODS
from align.methods.rrpo.config import RRPOConfig
from align.methods.rrpo.rules import FIXED
from align.recipe.recipe import parse_recipe

QUIET = {"bf16": False, "use_cpu": True}
OTHER_VALUES = {
    "loss_type": ["ipo"],
    "loss_weights": [1.0],
    "f_divergence_type": "js_divergence",
    "ld_alpha": 0.5,
    "use_weighting": True,
    "precompute_ref_log_probs": True,
    "truncation_mode": "keep_end",
}


def parse(path, **settings):
    return parse_recipe({"method": "rrpo", "model_name_or_path": "m/m", "dataset": {"path": "x"}} | settings, path)


def test_every_setting_that_stays_fixed_has_a_case():
    assert set(OTHER_VALUES) == set(FIXED)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_config_and_recipe_refuse_the_same_settings_with_the_same_sentence(tmp_path, name):
    settings = {name: OTHER_VALUES[name]}
    with pytest.raises(ValueError, match=rf"`{name}` must stay .* in RRPO") as of_config:
        RRPOConfig(output_dir=str(tmp_path), **QUIET | settings)
    with pytest.raises(RecipeError) as of_recipe:
        parse(tmp_path / "r.yaml", **settings)
    assert str(of_recipe.value) == str(of_config.value)


@pytest.mark.parametrize("name", sorted(FIXED))
def test_as_plain_dpo_all_of_them_work(tmp_path, name):
    settings = {"spans": "whole", "kl_coef": 0.0, name: OTHER_VALUES[name]}
    config = RRPOConfig(output_dir=str(tmp_path), **QUIET | settings)
    assert config.is_dpo
    assert getattr(config, name) == parse(tmp_path / "r.yaml", **settings).training[name] == OTHER_VALUES[name]


@pytest.mark.parametrize("settings", [{"spans": "whole"}, {"kl_coef": 0.0}, {}])
def test_half_of_rrpo_is_not_dpo(tmp_path, settings):
    assert not RRPOConfig(output_dir=str(tmp_path), **QUIET | settings).is_dpo


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kl_coef": -0.1}, "`kl_coef` must be at least 0, got -0.1"),
        ({"beta": 0.0}, "`beta` must be above 0, got 0"),
        ({"kl_placement": "los"}, "Did you mean 'loss'"),
        ({"on_missing_spans": "skip"}, "must be one of drop, whole"),
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        RRPOConfig(output_dir=str(tmp_path), **QUIET | settings)


REFUSED = {
    "no beta": ({"beta": 0}, ["`beta` must be above 0"]),
    "negative kl": ({"kl_coef": -1}, ["`kl_coef` must be at least 0"]),
    "no room": ({"max_length": 1}, ["`max_length` must be at least 2"]),
    "misspelt spans": ({"spans": "differring"}, ["`spans`", "Did you mean 'differing'?"]),
    "misspelt unit": ({"diff_unit": "words"}, ["`diff_unit`", "Did you mean 'word'?"]),
    "misspelt loss": ({"loss_type": ["sigmoyd"]}, ["`loss_type`", "'sigmoyd'", "Did you mean 'sigmoid'?"]),
    "loss of another method": ({"loss_type": "grpo"}, ["`loss_type` must be one of sigmoid", "'grpo'"]),
    "loss that is a number": ({"loss_type": 3}, ["`loss_type`", "got 3"]),
    "rewards": ({"reward_funcs": ["accuracy"]}, ["`reward_funcs`", "(grpo, acre)", "Remove the key"]),
    "reward settings": ({"reward_kwargs": {}}, ["`reward_kwargs`", "Remove the key"]),
    "reward weights": ({"reward_weights": [1.0]}, ["`reward_weights`", "Remove the key"]),
    "setting of another method": ({"num_generations": 4}, ["`num_generations`", "It is a setting of grpo, acre."]),
    "misspelt key": ({"kl_coeff": 0.1}, ["`kl_coeff`", "Did you mean 'kl_coef'?"]),
    "data key of another method": (
        {"dataset": {"path": "x", "prompt_template": "{question}{options}"}},
        ["`dataset.prompt_template`"],
    ),
    "adapter of another method": ({"dataset": {"path": "x", "adapter": "sciq"}}, ["`dataset.adapter`", "'rrpo'"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_refused_by_name_and_with_a_remedy(tmp_path, case):
    settings, words = REFUSED[case]
    with pytest.raises(RecipeError) as error:
        parse(tmp_path / "r.yaml", **settings)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


def test_a_setting_of_rrpo_in_a_recipe_of_acre_is_said_to_be_one(tmp_path):
    content = {"method": "acre", "model_name_or_path": "m/m", "dataset": {"path": "x"}, "reward_funcs": ["format"]}
    with pytest.raises(RecipeError, match=r"Unknown key `kl_coef`.* It is a setting of rrpo\."):
        parse_recipe(content | {"kl_coef": 0.1}, tmp_path / "r.yaml")
    assert parse_recipe(content | {"beta": 0}, tmp_path / "r.yaml").settings.beta == 0


def test_a_minimal_recipe_takes_defaults_from_the_config(tmp_path):
    recipe = parse(tmp_path / "r.yaml")
    assert (recipe.reward_funcs, recipe.reward_kwargs) == ([], {})
    assert recipe.training == {"output_dir": "outputs/rrpo-r"}
    assert [getattr(recipe.settings, name) for name in ("beta", "kl_coef", "loss_type")] == [0.1, 0.01, ["sigmoid"]]
    assert isinstance(recipe.dataset, METHODS["rrpo"].part("dataset"))
    assert recipe.uses_vllm is False
    assert not hasattr(recipe.settings, "use_vllm")


def test_one_loss_may_be_written_as_a_word(tmp_path):
    assert parse(tmp_path / "r.yaml", loss_type="sigmoid").settings.loss_type == ["sigmoid"]


def test_parsing_the_resolved_recipe_again_gives_the_same_recipe(tmp_path):
    first = parse(tmp_path / "r.yaml", loss_type="sigmoid", max_length=None, beta="0.5")
    second = parse_recipe(first.resolved, tmp_path / "r.yaml")
    assert (second.training, second.dataset, second.model) == (first.training, first.dataset, first.model)

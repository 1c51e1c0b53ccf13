import pytest

from align.errors import RecipeError
from align.methods.crome.config import CromeConfig
from align.recipe.recipe import parse_recipe


def parse(path, **settings):
    return parse_recipe({"method": "crome", "model_name_or_path": "m/m", "dataset": {"path": "x"}} | settings, path)


REFUSED = {
    "negative weight of ties": ({"tie_coef": -1}, ["`tie_coef` must be at least 0, got -1"]),
    "weight that is no number": ({"tie_coef": "much"}, ["`tie_coef`", "'much'"]),
    "infinite weight": ({"tie_coef": float("inf")}, ["`tie_coef` must be a finite number"]),
    "misspelt type": ({"model_type": "pairwize"}, ["`model_type`", "Did you mean 'pairwise'?"]),
    "no room": ({"max_length": 1}, ["`max_length` must be at least 2"]),
    "negative pull": ({"center_rewards_coefficient": -0.1}, ["`center_rewards_coefficient` must be at least 0"]),
    "pull of pairwise": (
        {"model_type": "pairwise", "center_rewards_coefficient": 0.01},
        ["`center_rewards_coefficient`", "`model_type: scalar`"],
    ),
    "negative weight of ODIN": ({"odin_coef": -1}, ["`odin_coef` must be at least 0, got -1"]),
    "ODIN of pairwise": (
        {"model_type": "pairwise", "odin_coef": 0.1},
        ["`odin_coef` changes the score head", "`model_type: scalar`"],
    ),
    "ODIN under FSDP": ({"odin_coef": 0.1, "fsdp": "full_shard"}, ["which `fsdp` was not tried with"]),
    "three heads": ({"num_heads": 3}, ["`num_heads` must be at least 1 and at most 2, got 3"]),
    "heads of pairwise": ({"model_type": "pairwise", "num_heads": 2}, ["`num_heads` changes the score head"]),
    "two heads and ODIN": ({"num_heads": 2, "odin_coef": 0.1}, ["`odin_coef` and `num_heads` both change"]),
    "negative weight of disagreement": ({"disagreement_coef": -1}, ["`disagreement_coef` must be at least 0, got -1"]),
    "misspelt key": ({"tie_coeff": 1.0}, ["`tie_coeff`", "Did you mean 'tie_coef'?"]),
    "setting of another method": ({"kl_coef": 0.1}, ["`kl_coef`", "It is a setting of rrpo."]),
    "rewards": ({"reward_funcs": ["accuracy"]}, ["`reward_funcs`", "(grpo, acre)", "Remove the key"]),
    "adapter": (
        {"dataset": {"path": "x", "adapter": "rrpo"}},
        ["`dataset.adapter`", "must be './mine.py:function'"],
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_setting_is_refused_by_name_and_with_a_remedy(tmp_path, case):
    settings, words = REFUSED[case]
    with pytest.raises(RecipeError) as error:
        parse(tmp_path / "r.yaml", **settings)
    assert [word for word in words if word not in str(error.value)] == [], str(error.value)


@pytest.mark.parametrize("settings", [{"tie_coef": -1.0}, REFUSED["pull of pairwise"][0]])
def test_the_config_refuses_what_has_no_meaning(tmp_path, settings):
    with pytest.raises(ValueError, match="|".join(settings)):
        CromeConfig(output_dir=str(tmp_path), bf16=False, use_cpu=True, **settings)


def test_a_minimal_recipe_takes_defaults_from_the_config(tmp_path):
    recipe = parse(tmp_path / "r.yaml")
    assert recipe.training == {"output_dir": "outputs/crome-r"}
    settings = recipe.settings
    assert (settings.tie_coef, settings.model_type, settings.max_length) == (1.0, "scalar", 1024)
    assert (recipe.reward_funcs, recipe.uses_vllm) == ([], False)


def test_parsing_the_resolved_recipe_again_gives_the_same_recipe(tmp_path):
    first = parse(tmp_path / "r.yaml", tie_coef="0.5", max_length=None, dataset={"path": "x", "on_bad_rows": "skip"})
    second = parse_recipe(first.resolved, tmp_path / "r.yaml")
    assert (second.training, second.dataset, second.model) == (first.training, first.dataset, first.model)

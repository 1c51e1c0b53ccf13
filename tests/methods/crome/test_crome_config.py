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
    "keys that left": (
        {"vib_coef": 0.1, "num_heads": 2, "dataset": {"path": "x", "unlabelled_path": "y"}},
        [
            "Unknown key `vib_coef` in r.yaml. It was taken out. No gain lasted on both cues. Remove it. ",
            "Unknown key `dataset.unlabelled_path`. It was taken out. Two heads had no gain that lasted.",
        ],
    ),
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

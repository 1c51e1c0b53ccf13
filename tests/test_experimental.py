"""What no lab speaks for: its keys are known and marked, a run that turns one on says so, and no method has any."""

import ast
import re

import pytest
from some_recipes import DEMONSTRATIONS, PROMPTS
from tree import ALIGN, Module
from trl import SFTConfig, SFTTrainer

from align.checks.launch import Launch
from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.fields import chain_fields, settings_class
from align.recipe.keys import EXPERIMENTAL, keys_of
from align.recipe.recipe import parse_recipe
from align.services.prepared import prepare
from align.training.as_in_trl import with_args

NEEDED = {"ddpo_gamma": {"kl_coef": 0.0}}  # beside a key
WITH = [name for name, method in METHODS.items() if method.variants]


def experimental_keys(method):
    return [key.name for key in keys_of(method) if key.place.endswith(EXPERIMENTAL)]


@pytest.mark.parametrize("method", WITH)
def test_its_keys_are_known_and_marked(method):
    record = METHODS[method]
    assert set(experimental_keys(method)) == set(chain_fields(record.experimental_chain))
    assert not set(experimental_keys(method)) & set(chain_fields(record.config_chain))


def test_no_room_of_a_method_knows_its_keys():
    """Words of a data set may name one in a remedy."""
    keys = {name for method in WITH for name in experimental_keys(method)}
    pattern = re.compile(rf"\b({'|'.join(sorted(keys))})\b")
    rooms = [module for module in ALIGN if module.name.startswith("align.methods.") and module.path.name != "data.py"]
    found = [
        (module.name, node.value)
        for module in rooms
        for node in ast.walk(Module(module.path).tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and pattern.search(node.value)
    ]
    found += [(module.name, name) for module in rooms for name in module.all if name.startswith("align.experimental")]
    assert found == []


def parsed(tmp_path, method, **settings):
    content = {"method": method, "model_name_or_path": "x", "dataset": {"path": "missing.jsonl"}, **settings}
    if METHODS[method].has_rewards:
        content["reward_funcs"] = ["accuracy"]
    return parse_recipe(content, tmp_path / "r.yaml")


def on(method):
    """One key of each experimental record that turns it on."""
    for variant in METHODS[method].variants:
        for name in experimental_keys(method):
            if name in chain_fields(variant.config_chain):
                for value in (1.0, 2):
                    if variant.part("turned_on")(settings_class(method).model_construct(**{name: value})):
                        yield name, value, variant
                        break


@pytest.mark.parametrize("method", WITH)
def test_a_run_says_once_what_it_turned_on(tmp_path, method):
    assert parsed(tmp_path, method).record is METHODS[method]
    found = list(on(method))
    assert found
    for name, value, variant in found:
        recipe = parsed(tmp_path, method, **{name: value}, **NEEDED.get(name, {}))
        assert recipe.record == variant
        told = [each.text for each in prepare(recipe, Launch()).warnings if each.check == "experimental"]
        assert [f"No lab speaks for `{name}: {getattr(recipe.settings, name)}`" in text for text in told] == [True]


def test_two_trainers_at_once_are_refused(tmp_path):
    (first, one, _), (second, other, _) = on(DEMONSTRATIONS)
    with pytest.raises(RecipeError, match=f"`{first}` and `{second}` are both above 0. Set one of them to 0."):
        parsed(tmp_path, DEMONSTRATIONS, **{first: one, second: other})


def test_a_main_trainer_refuses_a_config_whose_settings_it_does_not_read(tmp_path):
    config = METHODS[PROMPTS].variants[0].config_class()(str(tmp_path), use_cpu=True, bf16=False)
    trainer = object.__new__(SFTTrainer)
    with pytest.raises(TypeError, match=f"{type(config).__name__}, and SFTTrainer does not read its experimental"):
        with_args(SFTTrainer.__init__, trainer, ("model", config), {}, type(config))
    args, _ = with_args(SFTTrainer.__init__, trainer, ("model", SFTConfig(str(tmp_path), use_cpu=True)), {}, SFTConfig)
    assert type(args[1]) is SFTConfig

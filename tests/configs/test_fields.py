import dataclasses
import subprocess
import sys

import pytest

from align.configs.fields import CONFIG_CHAINS, config_fields, validate_field
from align.configs.rules import BOOLEAN_NAMES, CHOICES, RANGES

UPDATE = "TRL or transformers changed its configs: update CONFIG_CHAINS in align/configs/fields.py, then rules.py"
# Defaults that the source computes; `config_fields` gives None for them.
COMPUTED = {"optim", "include_for_metrics"}


@pytest.fixture(scope="module")
def real_fields():
    from align.configs.acre import ACREConfig

    return {field.name: field for field in dataclasses.fields(ACREConfig)}


def test_the_table_read_from_source_has_the_fields_of_the_real_config(real_fields):
    assert set(config_fields("acre")) == set(real_fields), UPDATE


def test_the_table_has_the_defaults_of_the_real_config(real_fields):
    table = config_fields("acre")
    wrong = {
        name: (table[name].default, field.default)
        for name, field in real_fields.items()
        if name not in COMPUTED and (table[name].default != field.default)
    }
    assert wrong == {}, UPDATE


def test_the_defaults_fit_the_types_of_the_table(real_fields):
    for name, field in config_fields("acre").items():
        if name not in COMPUTED and name not in BOOLEAN_NAMES:
            default = real_fields[name].default
            assert validate_field(field, getattr(default, "value", default)) == default, name


def test_the_chain_names_every_dataclass_that_the_config_inherits_from():
    from align.configs.acre import ACREConfig

    inherited = [base.__name__ for base in ACREConfig.__mro__ if dataclasses.is_dataclass(base)]
    assert [name for _, _, name in CONFIG_CHAINS["acre"]] == inherited, UPDATE


def test_every_own_field_has_help(real_fields):
    from trl import GRPOConfig

    inherited = {field.name for field in dataclasses.fields(GRPOConfig)}
    own = [field for name, field in real_fields.items() if name not in inherited]
    assert own
    assert [field.name for field in own if not field.metadata.get("help", "").endswith(".")] == []


def test_the_table_is_read_without_torch_or_trl():
    code = (
        "import sys; from align.configs.fields import config_fields; from align.configs.recipe import load_recipe;"
        "assert config_fields('acre')['beta'].default == 0.0;"
        "print([name for name in ('torch', 'trl', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_rules_name_only_fields_that_exist():
    assert [name for name in (*CHOICES, *RANGES) if name not in config_fields("acre")] == [], UPDATE


def transformers_enums():
    from transformers.trainer_utils import HubStrategy, IntervalStrategy, SaveStrategy, SchedulerType
    from transformers.training_args import OptimizerNames

    return {
        "lr_scheduler_type": SchedulerType,
        "save_strategy": SaveStrategy,
        "eval_strategy": IntervalStrategy,
        "logging_strategy": IntervalStrategy,
        "hub_strategy": HubStrategy,
        "optim": OptimizerNames,
    }


@pytest.mark.parametrize(
    "name", ["lr_scheduler_type", "save_strategy", "eval_strategy", "logging_strategy", "hub_strategy", "optim"]
)
def test_choices_of_transformers_are_its_enums_exactly(name):
    assert sorted(CHOICES[name]) == sorted(member.value for member in transformers_enums()[name]), UPDATE


OWN = {"second_pass", "second_pass_rows", "permutation_scope"}


def test_choices_of_trl_are_named_in_its_help(real_fields):
    of_trl = set(CHOICES) - OWN - set(transformers_enums())
    assert of_trl >= {"loss_type", "scale_rewards", "vllm_mode"}
    missing = [
        (name, choice)
        for name in of_trl
        for choice in CHOICES[name]
        if choice not in real_fields[name].metadata["help"]
    ]
    assert missing == [], UPDATE


@pytest.mark.parametrize("name", sorted(set(CHOICES) - {"optim"}))
def test_the_config_accepts_every_choice(tmp_path, name):
    from align.configs.acre import ACREConfig

    evaluation = {"eval_strategy": "steps", "eval_steps": 1}
    needs = (
        {"vllm": {"use_vllm": True}, "reduce_lr_on_plateau": evaluation, "greedy": evaluation}
        if name != "vllm_model_impl"
        else {}
    )
    for choice in CHOICES[name]:
        steps = {"eval_steps": 1} if name == "eval_strategy" else needs.get(choice, {})
        ACREConfig(str(tmp_path), use_cpu=True, bf16=False, **{name: choice}, **steps)


@pytest.mark.parametrize("name", sorted(BOOLEAN_NAMES))
def test_boolean_names_are_choices(name):
    assert set(BOOLEAN_NAMES[name].values()) <= set(CHOICES[name])


@pytest.mark.parametrize("name", sorted(OWN))
def test_the_config_refuses_a_misspelt_choice_of_its_own(tmp_path, name):
    from align.configs.acre import ACREConfig

    with pytest.raises(ValueError, match=rf"`{name}` must be one of .*got 'x'"):
        ACREConfig(str(tmp_path), use_cpu=True, bf16=False, **{name: "x"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_shuffles": 0}, "`num_shuffles` must be at least 1, got 0"),
        ({"second_pass_batch_size": 0}, "`second_pass_batch_size` must be at least 1"),
        ({"second_pass": "vllm"}, "needs vLLM rollouts"),
    ],
)
def test_the_config_refuses_what_cannot_run(tmp_path, settings, message):
    from align.configs.acre import ACREConfig

    with pytest.raises(ValueError, match=message):
        ACREConfig(str(tmp_path), use_cpu=True, bf16=False, **settings)

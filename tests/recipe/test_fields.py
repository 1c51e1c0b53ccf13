import ast
import dataclasses
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from some_recipes import DEMONSTRATIONS, OUTCOMES, PAIRS, PROMPTS, QUESTIONS, REWARD_PAIRS
from tree import ALIGN

from align.methods import METHODS
from align.recipe.combinations import OF_METRICS, UNREAD
from align.recipe.fields import config_fields, settings_class
from align.recipe.rules import BOOLEAN_NAMES, NO_NULL, rules_of

RANGES = {method: rules_of(method).ranges for method in METHODS}
UPDATE = "TRL or transformers changed its configs: update the chains in align/methods/method.py, then rules.py"
# Defaults that the source computes; `config_fields` gives None for them.
COMPUTED = {"optim"}
OWN = {
    PROMPTS: set(),
    OUTCOMES: set(),
    QUESTIONS: {"second_pass", "second_pass_rows", "permutation_scope"},
    PAIRS: {"kl_placement", "spans", "diff_unit", "on_missing_spans"},
    REWARD_PAIRS: {"model_type"},
    DEMONSTRATIONS: set(),
}
ENUMS = {"lr_scheduler_type", "save_strategy", "eval_strategy", "logging_strategy", "hub_strategy", "optim"}
CHOICES = {
    method: {name: config_fields(method)[name].choices for name in ENUMS} | rules_of(method).choices
    for method in METHODS
}
# Lists of transformers that are no enums, with where they are.
LISTS = {"log_level", "log_level_replica", "include_num_input_tokens_seen", "torch_compile_mode", "fsdp", "debug"}
LISTS |= {"cache_implementation", "report_to"}
TRAINING = ENUMS | LISTS
EVERY_CHOICE = [(method, name) for method in CHOICES for name in sorted(set(CHOICES[method]) - {"optim"})]


@pytest.fixture(params=sorted(METHODS))
def method(request):
    return request.param


@pytest.fixture
def real_fields(method):
    return {field.name: field for field in dataclasses.fields(METHODS[method].config_class())}


def default_of(field):
    made = field.default_factory is not dataclasses.MISSING
    return field.default_factory() if made else field.default


def test_the_table_read_from_source_has_the_fields_of_the_real_config(method, real_fields):
    assert set(config_fields(method)) == set(real_fields), UPDATE


def test_the_table_has_the_defaults_of_the_real_config(method, real_fields):
    table = config_fields(method)
    wrong = {
        name: (table[name].default, default_of(field))
        for name, field in real_fields.items()
        if name not in COMPUTED and table[name].default != default_of(field)
    }
    assert wrong == {}, UPDATE


def test_the_defaults_fit_the_types_of_the_table(method, real_fields):
    for name in config_fields(method):
        if name not in COMPUTED and name not in BOOLEAN_NAMES and name not in NO_NULL:
            default = default_of(real_fields[name])
            read = settings_class(method).model_validate({name: getattr(default, "value", default)})
            assert getattr(read, name) == default, name


def test_the_chain_names_every_dataclass_that_the_config_inherits_from(method):
    inherited = [base.__name__ for base in METHODS[method].config_class().__mro__ if dataclasses.is_dataclass(base)]
    assert [name for _, _, name in METHODS[method].config_chain] == inherited, UPDATE


def test_every_own_field_has_help(method, real_fields):
    whole = METHODS[method].config_class()
    parent = next(base for base in whole.__mro__ if not base.__module__.startswith("align."))
    inherited = {field.name for field in dataclasses.fields(parent)}
    own = [field for name, field in real_fields.items() if name not in inherited]
    assert own or method == DEMONSTRATIONS
    assert [field.name for field in own if not field.metadata.get("help", "").endswith(".")] == []


def test_the_tables_are_read_without_torch_or_trl():
    code = (
        "import sys; from align.recipe.fields import config_fields; from align.recipe.recipe import load_recipe;"
        f"assert config_fields('{QUESTIONS}')['beta'].default == 0.0;"
        f"assert config_fields('{PAIRS}')['loss_type'].default == ['sigmoid'];"
        "print([name for name in ('torch', 'trl', 'transformers') if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_rules_name_only_fields_that_exist(method):
    assert [name for name in (*CHOICES[method], *RANGES[method]) if name not in config_fields(method)] == [], UPDATE


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


def test_other_choices_of_transformers_are_its_lists():
    from transformers.debug_utils import DebugOption
    from transformers.generation import configuration_utils as generation
    from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
    from transformers.trainer_utils import FSDPOption
    from transformers.training_args import trainer_log_levels

    choices = CHOICES[PROMPTS]
    assert set(choices["log_level"]) == set(choices["log_level_replica"]) == set(trainer_log_levels), UPDATE
    assert set(choices["report_to"]) == {"none", "all", *INTEGRATION_TO_CALLBACK}, UPDATE
    assert set(choices["debug"]) == {option.value for option in DebugOption}, UPDATE
    only_fsdp1 = {"no_shard", "hybrid_shard", "hybrid_shard_zero2"}
    assert set(choices["fsdp"]) == {option.value for option in FSDPOption} - only_fsdp1, UPDATE
    assert set(choices["cache_implementation"]) == {
        *generation.STATIC_CACHE_IMPLEMENTATIONS, *generation.DYNAMIC_CACHE_IMPLEMENTATIONS
    }, UPDATE  # fmt: skip


@pytest.mark.parametrize("name", sorted(ENUMS))
def test_choices_of_transformers_are_its_enums_exactly(method, name):
    assert sorted(CHOICES[method][name]) == sorted(member.value for member in transformers_enums()[name]), UPDATE


def test_choices_of_trl_are_named_in_its_help(method, real_fields):
    of_trl = set(CHOICES[method]) - OWN.get(method, set()) - TRAINING
    assert ("loss_type" in of_trl) == ("loss_type" in real_fields)
    missing = [
        (name, choice)
        for name in of_trl
        for choice in CHOICES[method][name]
        if choice not in real_fields[name].metadata["help"]
    ]
    assert missing == [], UPDATE


def test_dpo_has_no_loss_that_the_rules_lack():
    import re

    told = dataclasses.fields(METHODS[PAIRS].config_class())
    (help_text,) = [field.metadata["help"] for field in told if field.name == "loss_type"]
    named = re.findall(r"`'(\w+)'`", help_text)
    assert sorted(CHOICES[PAIRS]["loss_type"]) == sorted(named), UPDATE


@pytest.mark.parametrize(("owner", "name"), EVERY_CHOICE)
def test_the_config_accepts_every_choice(tmp_path, owner, name):
    evaluation = {"eval_strategy": "steps", "eval_steps": 1}
    needs = (
        {"vllm": {"use_vllm": True}, "reduce_lr_on_plateau": evaluation, "greedy": evaluation}
        if name != "vllm_model_impl"
        else {}
    )
    plain_dpo = {"spans": "whole", "kl_coef": 0.0} if owner == PAIRS and name not in OWN[PAIRS] else {}
    for choice in CHOICES[owner][name]:
        more = {"eval_steps": 1} if name == "eval_strategy" else needs.get(choice, {})
        settings = plain_dpo | {name: choice} | more
        METHODS[owner].config_class()(str(tmp_path), use_cpu=True, bf16=False, **settings)


@pytest.mark.parametrize("name", sorted(BOOLEAN_NAMES))
def test_boolean_names_are_choices(name):
    owners = [choices[name] for choices in CHOICES.values() if name in choices]
    assert owners
    assert all(set(BOOLEAN_NAMES[name].values()) <= set(choices) for choices in owners)


@pytest.mark.parametrize(("owner", "name"), [(owner, name) for owner in OWN for name in sorted(OWN[owner])])
def test_the_config_refuses_a_misspelt_choice_of_its_own(tmp_path, owner, name):
    with pytest.raises(ValueError, match=rf"`{name}` must be one of .*got 'x'"):
        METHODS[owner].config_class()(str(tmp_path), use_cpu=True, bf16=False, **{name: "x"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_shuffles": 0}, "`num_shuffles` must be at least 1, got 0"),
        ({"second_pass_batch_size": 0}, "`second_pass_batch_size` must be at least 1"),
        ({"second_pass": "vllm"}, "needs vLLM rollouts"),
    ],
)
def test_the_config_refuses_what_cannot_run(tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        METHODS[QUESTIONS].config_class()(str(tmp_path), use_cpu=True, bf16=False, **settings)


def reads_of(nodes, owners=("args", "config", "settings", "training_args")):
    """Names the attributes that are read of what is called so, as in `self.args.seed` and `getattr(args, "seed")`."""
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
            owner, name = node.value, node.attr
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "getattr":
            owner, name = node.args[0], getattr(node.args[1], "value", None)
        else:
            continue
        if getattr(owner, "attr", getattr(owner, "id", None)) in owners:
            yield name


def test_the_settings_that_no_trainer_reads_are_known():
    """The rule for the table: nobody reads the field outside its own class, or a trainer behind `compute_metrics`."""
    transformers, trl = (Path(find_spec(name).origin).parent for name in ("transformers", "trl"))
    files = [
        *transformers.glob("trainer*.py"), *transformers.glob("integrations/*.py"), *trl.glob("trainer/*_trainer.py"),
        *trl.glob("trainer/callbacks.py"),
    ]  # fmt: skip
    walks = [*(ast.walk(ast.parse(file.read_text("utf-8"))) for file in files), *(module.nodes for module in ALIGN)]
    read = {name for nodes in walks for name in reads_of(nodes)}
    (arguments,) = (
        each
        for each in ast.parse((transformers / "training_args.py").read_text("utf-8")).body
        if getattr(each, "name", "") == "TrainingArguments"
    )
    methods = [each for each in arguments.body if isinstance(each, ast.FunctionDef)]
    used = [each for each in methods if not each.name.startswith("set_")]
    read |= {name for each in used for name in reads_of(ast.walk(each), ("self",))}
    fields = {each.name for each in config_fields(DEMONSTRATIONS).values() if each.owner[1] == "TrainingArguments"}
    assert fields - read <= UNREAD.keys(), UPDATE
    trainer = (transformers / "trainer.py").read_text("utf-8")
    assert set(OF_METRICS) <= set(reads_of(ast.walk(ast.parse(trainer)))), UPDATE
    assert "prediction_loss_only=True if self.compute_metrics is None" in trainer, UPDATE

from itertools import product

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from minimal_recipe import BASE
from some_recipes import QUESTIONS

from align.errors import RecipeError
from align.recipe.combinations import UNREAD
from align.recipe.fields import config_fields
from align.recipe.recipe import load_recipe, parse_overrides
from align.recipe.rules import rules_of
from align.recipe.yaml_loader import parse_yaml

RULES = rules_of(QUESTIONS)

MIN_LR = "lr_scheduler_type: cosine_with_min_lr"


def test_a_minimal_recipe_takes_defaults_from_the_config(parse):
    recipe = parse()
    assert recipe.method == QUESTIONS
    assert recipe.training == {"output_dir": f"outputs/{QUESTIONS}-recipe"}
    assert recipe.settings.num_generations == 8
    assert recipe.settings.second_pass == "auto"


REFUSED = {
    "unknown key": ("learning_rat: 1", ["learning_rat", "Did you mean 'learning_rate'?"]),
    "unknown model key": ("lora_rr: 1", ["lora_rr", "Did you mean 'lora_r'?"]),
    "key that is a number": ("1: 2", ["Unknown key `1`"]),
    "keys of other trainers, all at once": (
        "train_dataset: x\nnum_generation: 4",
        [
            "`train_dataset` in recipe.yaml. The data are `dataset: {path: FILE}`.",
            "`num_generation` in recipe.yaml. Did you mean 'num_generations'?",
        ],
    ),
    "misspelt choice": ("loss_type: dapoo", ["loss_type", "'dapoo'", "Did you mean 'dapo'?"]),
    "misspelt vllm mode": ("vllm_mode: colocat", ["vllm_mode", "Did you mean 'colocate'?"]),
    "misspelt scaling": ("scale_rewards: grup", ["scale_rewards", "Did you mean 'group'?"]),
    "misspelt scheduler": ("lr_scheduler_type: cosin", ["lr_scheduler_type", "Did you mean 'cosine'?"]),
    "misspelt optimizer": ("optim: adamw_torc", ["optim", "Did you mean 'adamw_torch'?"]),
    "misspelt second pass": ("second_pass: forwards", ["second_pass", "Did you mean 'forward'?"]),
    "choice of another type": ("loss_type: 3", ["loss_type", "got 3"]),
    "misspelt dtype": ("dtype: bfloat", ["`dtype`", "'bfloat'"]),
    "text for a number": ("learning_rate: fast", ["learning_rate", "valid number", "'fast' (str)"]),
    "boolean for a number": ("learning_rate: true", ["learning_rate", "True (bool)"]),
    "boolean for a count": ("max_steps: true", ["max_steps", "True (bool)"]),
    "part of a step": ("max_steps: 10.5", ["max_steps", "10.5"]),
    "nothing for a number": ("max_grad_norm: null", ["max_grad_norm", "got null"]),
    "list for a number": ("learning_rate: [1]", ["learning_rate", "[1] (list)"]),
    "number for a list": ("reward_weights: 1", ["reward_weights", "list"]),
    "nan": ("learning_rate: .nan", ["learning_rate", "finite", "nan"]),
    "infinity": ("learning_rate: .inf", ["learning_rate", "finite", "inf"]),
    "nan in a list": ("reward_weights: [.nan, 1]", ["reward_weights", "nan"]),
    "group of one": ("num_generations: 1", ["num_generations", "at least 2", "got 1"]),
    "negative beta": ("beta: -0.1", ["beta", "at least 0", "-0.1"]),
    "zero temperature": ("temperature: 0", ["temperature", "above 0"]),
    "share above one": ("top_p: 1.5", ["top_p", "at most 1", "1.5"]),
    "no shuffles": ("num_shuffles: 0", ["num_shuffles", "at least 1"]),
    "dropout of one": ("lora_dropout: 1.0", ["lora_dropout", "less than 1"]),
    "quoted number in a block": (
        'lr_scheduler_kwargs: {min_lr: "1e-7"}',
        ["`lr_scheduler_kwargs.min_lr`", "'1e-7'", "without quotes"],
    ),
    "quoted number deep in a block": (
        'model_init_kwargs: {a: {b: "3"}}',
        ["`model_init_kwargs.a.b`", "without quotes"],
    ),
    "quoted number in a list in a block": (
        'lr_scheduler_kwargs: {betas: [0.9, "0.95"]}',
        ["`lr_scheduler_kwargs.betas`", "'0.95'", "without quotes"],
    ),
    "quoted number in a reward's settings": (
        'reward_kwargs: {answer_consistency: {both: "1.0"}}',
        ["`reward_kwargs.answer_consistency.both`", "without quotes"],
    ),
    "settings of no reward": ("reward_kwargs: {fromat: {}}", ["reward_kwargs.fromat", "Did you mean 'format'?"]),
    "settings that are no block": ("reward_kwargs: {format: 3}", ["reward_kwargs.format", "block", "got 3"]),
    "too few weights": ("reward_weights: [1]", ["1 numbers for 2 rewards", "One per reward".lower()]),
    "too many weights": ("reward_weights: [1, 1, 1]", ["3 numbers for 2 rewards"]),
    "key written twice": ("beta: 0.1\nbeta: 0.2", ["Line 7", "`beta` is written twice"]),
    "key with braces": ("{{ name }}: 1", ["Line 6", "quotes"]),
    "object": ("seed: !!python/object/apply:os.getcwd []", ["not valid YAML", "python/object"]),
}


def test_a_quoted_number_is_a_text_for_somebody_s_own_reward(parse):
    own = "reward_funcs: [./own.py:kind, format]"
    lines = 'reward_kwargs: {kind: {topic: "42"}}'
    recipe = parse(text=BASE.replace("reward_funcs: [answer_consistency, format]", own) + lines)
    assert recipe.reward_kwargs == {"kind": {"topic": "42"}}


def test_what_an_override_turns_off_may_keep_its_settings(parse):
    lines = "use_peft: true\nlora_r: 8\neval_strategy: steps\neval_steps: 5\n"
    recipe = parse(lines, "--use_peft", "false", "--eval_strategy", "no")
    assert not recipe.model.use_peft


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset.eval_split", "test"], "`eval_split` is a split of `eval_path`, and none is given"),
        (["--dataset.eval_path", "''"], "`dataset.eval_path`: .*at least 1 character"),
        (["--dataset.max_rows", "yes"], "`dataset.max_rows` must be a number; got True"),
    ],
)
def test_data_that_could_not_be_meant_are_refused(parse, words, message):
    with pytest.raises(RecipeError, match=message):
        parse("", *words)


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_line_is_refused_by_name_and_with_a_remedy(parse, case):
    lines, words = REFUSED[case]
    with pytest.raises(RecipeError) as error:
        parse(lines)
    message = str(error.value)
    assert [word for word in words if word.lower() not in message.lower()] == [], message


WHOLE_FILES = {
    "empty": ("", "is empty; it must hold `key: value` lines"),
    "comments alone": ("# method: none\n", "is empty"),
    "list": (f"- method: {QUESTIONS}", "got list"),
    "text": (f"method {QUESTIONS}", "got str"),
    "broken": ("method: [", "not valid YAML"),
    "no method": (BASE.replace(f"method: {QUESTIONS}", "seed: 1"), "`method` must be one of .*Add a line"),
    "other method": (BASE.replace(QUESTIONS, QUESTIONS[:-1]), f"Did you mean '{QUESTIONS}'?"),
    "no model": (BASE.replace("model_name_or_path: ./model\n", ""), "`model_name_or_path` is missing"),
    "no data": (BASE.replace("dataset:\n  path: ./train.jsonl\n", ""), "`dataset` must be a block.*`path`"),
    "no path": (BASE.replace("  path: ./train.jsonl", "  seed: 1"), "`dataset.path` is missing"),
    "no rewards": (BASE.replace("reward_funcs: [answer_consistency, format]\n", ""), "`reward_funcs` must list"),
    "empty rewards": (BASE.replace("[answer_consistency, format]", "[]"), "`reward_funcs` must list"),
    "data key": (BASE.replace("  path:", "  on_bad_row: skip\n  path:"), "`dataset.on_bad_row`.*'on_bad_rows'"),
    "data choice": (BASE.replace("  path:", "  on_bad_rows: drop\n  path:"), "`dataset.on_bad_rows`.*'drop'"),
    "data range": (BASE.replace("  path:", "  max_rows: 0\n  path:"), "`dataset.max_rows`.*got 0"),
    "template": (BASE.replace("  path:", "  prompt_template: hi\n  path:"), "`dataset.prompt_template`.*{question}"),
}


@pytest.mark.parametrize("case", WHOLE_FILES)
def test_a_file_that_is_no_recipe_is_refused(parse, case):
    text, message = WHOLE_FILES[case]
    with pytest.raises(RecipeError, match=message.replace("?", r"\?")):
        parse(text=text)


def test_a_missing_file_and_other_encodings_are_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"Cannot read .*none\.yaml: No such file"):
        load_recipe(tmp_path / "none.yaml")
    latin = tmp_path / "latin.yaml"
    latin.write_bytes(b"method: acr\xe9")
    with pytest.raises(RecipeError, match="not UTF-8"):
        load_recipe(latin)


@pytest.mark.parametrize(
    ("lines", "name", "value"),
    [
        ("learning_rate: 1e-6", "learning_rate", 1e-6),
        ('learning_rate: "1e-6"', "learning_rate", 1e-6),
        ("max_steps: '10'", "max_steps", 10),
        ("max_steps: 1e2", "max_steps", 100),
        ("reward_weights: [1, 1e-1]", "reward_weights", [1.0, 0.1]),
        ('reward_weights: ["1", "1e-1"]', "reward_weights", [1.0, 0.1]),
        (f"{MIN_LR}\nlr_scheduler_kwargs: {{min_lr: 1e-7}}", "lr_scheduler_kwargs", {"min_lr": 1e-7}),
        ('model_init_kwargs: {a: "no", b: "{"}', "model_init_kwargs", {"a": "no", "b": "{"}),
        ("scale_rewards: false", "scale_rewards", "none"),
        ("scale_rewards: true", "scale_rewards", "group"),
        ("save_strategy: no", "save_strategy", "no"),
        ("second_pass: off", "second_pass", "off"),
        ("report_to: none", "report_to", "none"),
        ("bf16: false", "bf16", False),
        ("beta: 0", "beta", 0.0),
    ],
)
def test_values_become_what_they_mean(parse, lines, name, value):
    found = parse(lines).training[name]
    assert found == value
    assert type(found) is type(value)


def test_anchors_and_merge_keys_work(parse):
    recipe = parse(
        f"{MIN_LR}\nlr_scheduler_kwargs: &shared {{min_lr: 1e-7}}\nmodel_init_kwargs: {{<<: *shared, b: 2}}"
    )
    assert recipe.settings.model_init_kwargs == {"min_lr": 1e-7, "b": 2}


def test_overrides_win_over_the_file(parse):
    words = (
        "--learning_rate 1e-6 --bf16 false --reward_weights 1 0.2 --dataset.max_rows=10 --scale_rewards none "
        "--lr_scheduler_kwargs.min_lr 1e-7"
    )
    recipe = parse(f"{MIN_LR}\nlearning_rate: 1e-3\nbf16: true\nreward_weights: [1, 1]", *words.split())
    assert recipe.settings.learning_rate == 1e-6
    assert recipe.settings.bf16 is False
    assert recipe.settings.reward_weights == [1.0, 0.2]
    assert recipe.dataset.max_rows == 10
    assert recipe.dataset.path.endswith("train.jsonl")
    assert recipe.settings.scale_rewards == "none"
    assert recipe.settings.lr_scheduler_kwargs == {"min_lr": 1e-7}
    assert recipe.resolved["learning_rate"] == 1e-6


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--learning_rate"], "`--learning_rate` needs a value behind it: `--learning_rate VALUE`"),
        (["--bf16", "--seed", "1"], "`--bf16` needs a value"),
        (["fast"], "Expected `--key value` after the recipe, got 'fast'"),
        (["--learning_rat", "1"], "Did you mean 'learning_rate'"),
        (["--dataset.max_row", "1"], "Did you mean 'max_rows'"),
        (["--max_rows", "1"], "Did you mean 'dataset.max_rows'"),
        (["--max-rowz", "1"], "Did you mean 'dataset.max_rows'"),
        (["--dataset", "3"], "`dataset` must be a block"),
        (["--seed", "1", "--seed.x", "2"], "cannot both be given"),
        (["--learning_rate", "["], "learning_rate.*valid number"),
        (["--learning_rate", "1", "2"], "learning_rate.*valid number"),
    ],
)
def test_a_wrong_override_is_refused(parse, words, message):
    with pytest.raises(RecipeError, match=message):
        parse("", *words)


def test_an_override_that_is_not_yaml_is_text(parse):
    recipe = parse("", "--dataset.prompt_template", "{question} {options}")
    assert recipe.dataset.prompt_template == "{question} {options}"


def test_parsing_the_resolved_recipe_again_gives_the_same_recipe(parse):
    first = parse(f"{MIN_LR}\nlearning_rate: 1e-6\nsave_strategy: no\nlr_scheduler_kwargs: {{min_lr: 1e-7}}")
    second = parse(text=yaml.safe_dump(first.resolved))
    assert (second.training, second.dataset, second.model) == (first.training, first.dataset, first.model)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_that_python_writes_is_read_as_that_float(number):
    assert parse_yaml(repr(number)) == number
    assert parse_yaml(f"{number:e}") == float(f"{number:e}")


@given(mantissa=st.integers(1, 9), exponent=st.integers(-30, 30))
def test_exponents_need_no_dot(mantissa, exponent):
    for text in (f"{mantissa}e{exponent}", f"{mantissa}E{exponent:+d}", f"-{mantissa}e{exponent}"):
        assert parse_yaml(text) == float(text)
        assert parse_overrides([f"--x={text}"]) == {"x": float(text)}


@given(name=st.sampled_from(sorted(RULES.choices)), text=st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_only_the_choices_pass(parse, name, text):
    choices = RULES.choices[name]
    if set(text.split()) <= set(choices) or parse_yaml(text) != text or name == "second_pass":
        return
    with pytest.raises(RecipeError, match=f"`{name}` must be one of"):
        parse(f"{name}: {text}")


# The others are compared with a neighbour too, or need one.
NOT_ALONE = {"vllm_importance_sampling_clip_min", "entropy_coef_min", "dataloader_num_workers", "second_answer_tokens"}
NOT_ALONE |= {
    "eval_steps",
    "label_smoothing_factor",
    *UNREAD,
    *(name for each in RULES.read_with.values() for name in each),
}
ALONE = sorted(set(RULES.ranges) - NOT_ALONE)


def test_a_number_passes_just_when_it_is_in_its_range(parse):
    """Asks for each setting, as a draw of some finds one that needs another by luck."""
    for name, value in product(ALONE, range(-3, 4)):
        low, high, open_low, open_high, other, _ = RULES.ranges[name]
        above = value > low if open_low else value >= low
        lines = f"dataloader_num_workers: 1\n{name}: {value}"
        if value == other or (above and (value < high if open_high else value <= high)):
            assert parse(lines).training[name] == value
        else:
            with pytest.raises(RecipeError, match=f"`{name}` must be"):
                parse(lines)


@given(
    name=st.sampled_from(sorted(config_fields(QUESTIONS))), position=st.integers(0, 40), letter=st.sampled_from("qxz")
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_key_with_one_letter_too_many_is_never_taken(parse, name, position, letter):
    misspelt = name[:position] + letter + name[position:]
    with pytest.raises(RecipeError, match=f"Unknown key `{misspelt}`"):
        parse(f"{misspelt}: 1")

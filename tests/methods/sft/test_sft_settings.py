import re

import pytest

from align.errors import RecipeError
from align.experimental.consistency.sft import ConsistentSFTConfig
from align.experimental.lfu.config import LfUConfig
from align.recipe.recipe import load_recipe

REENTRANT = "gradient_checkpointing_kwargs: {use_reentrant: true}"
DEEPSPEED = "deepspeed: {zero_optimization: {stage: 2}}"


@pytest.fixture
def parse(tmp_path):
    def load(lines):
        path = tmp_path / "recipe.yaml"
        path.write_text(f"method: sft\nmodel_name_or_path: ./model\ndataset: {{path: ./x.jsonl}}\n{lines}")
        return load_recipe(path)

    return load


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("lfu_mode: lora", "`lfu_mode` must be one of params, aux_lora; got 'lora'. Did you mean 'aux_lora'?"),
        ("packing_strategy: bdf", "Did you mean 'bfd'?"),
        ("lfu_coef: -1", "`lfu_coef` must be at least 0, got -1"),
        ("lfu_rank: 0", "`lfu_rank` must be at least 1, got 0"),
        (
            "packing: true\nmax_length: null",
            "`packing: true` fills rows of `max_length` tokens, and `max_length` is null",
        ),
        ("padding_free: true\nmax_length: 64", "`padding_free: true` cuts no row to `max_length: 64`. Set"),
        ("lfu_coef: 5\nlfu_layers: []", "`lfu_layers` is empty, and nothing would be compared"),
        (f"lfu_coef: 5\n{DEEPSPEED}", "`lfu_coef` above 0 cannot be trained with DeepSpeed"),
        ("lfu_coef: 5\nfsdp: full_shard", "`lfu_coef` above 0 needs whole weights on every process"),
        ("lfu_coef: 5\nauto_find_batch_size: true", "repeats a step whose batches"),
        (f"lfu_coef: 5\n{REENTRANT}", "hides the hidden states inside a layer from their gradient"),
        (
            "label_smoothing_factor: 0.1\nloss_type: dft",
            "`label_smoothing_factor: 0.1` does nothing with `loss_type: dft`",
        ),
        ("consistency_coef: -1", "`consistency_coef` must be at least 0, got -1"),
        (
            "consistency_divergence: jss",
            "`consistency_divergence` must be one of js, kl; got 'jss'. Did you mean 'js'?",
        ),
        ("consistency_families: []", "`consistency_families` must list families; got []"),
        ("consistency_families: [whitespace, whitespace]", "names a family twice"),
        ("consistency_families: [option_order]", "which changes the options of a question"),
        (
            "consistency_families: [spaces]",
            "must name some of whitespace, distractor, or functions as ./mine.py:function",
        ),
        ("consistency_coef: 1\nlfu_coef: 5", "`lfu_coef` and `consistency_coef` are both above 0"),
        ("consistency_coef: 1\npacking: true", "`packing: true` joins rows"),
        ("consistency_coef: 1\nmax_length: null\npadding_free: true", "`padding_free: true` joins rows"),
        ("consistency_coef: 1\ntruncation_mode: keep_end", "cuts the prompt off"),
        ("consistency_coef: 1\nfsdp: full_shard", "needs the output head whole on every process"),
        ("consistency_coef: 1\nauto_find_batch_size: true", "repeats a step whose batches"),
        ("consistency_coef: 1\ndataset_kwargs: {skip_prepare_dataset: true}", "leaves no prompts to change"),
        ("reward_funcs: [format]", "learns from its data alone"),
        ("dataset.keep_incorect: true", "Unknown key"),
    ],
)
def test_a_setting_without_meaning_is_refused_in_a_sentence(parse, lines, words):
    with pytest.raises(RecipeError, match=re.escape(words)):
        parse(lines)


@pytest.mark.parametrize(
    "lines",
    [
        "fsdp: full_shard",
        "padding_free: true\nmax_length: null",
        "padding_free: true\npacking: true",
        REENTRANT,
        DEEPSPEED,
        f"consistency_coef: 1\n{DEEPSPEED}",
        f"consistency_coef: 1\n{REENTRANT}",
        "lfu_coef: 5\nlfu_alpha: 0\nfsdp: full_shard",
    ],
)
def test_as_plain_sft_all_of_trls_settings_work(parse, lines):
    assert parse(lines).method == "sft"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lfu_mode": "lora"}, "`lfu_mode` must be one of params, aux_lora"),
        ({"lfu_alpha": -0.1}, "`lfu_alpha` must be at least 0, got -0.1"),
        ({"lfu_coef": float("nan")}, "`lfu_coef` must be a finite number, got nan"),
        ({"consistency_coef": -1.0}, "`consistency_coef` must be at least 0, got -1.0"),
        ({"consistency_divergence": "jsd"}, "`consistency_divergence` must be one of js, kl"),
        ({"consistency_families": ["spaces"]}, "must name some of whitespace, distractor"),
    ],
)
def test_the_config_refuses_it_too(tmp_path, settings, words):
    config = LfUConfig if "lfu" in words else ConsistentSFTConfig
    with pytest.raises(ValueError, match=words):
        config(output_dir=str(tmp_path), bf16=False, use_cpu=True, **settings)

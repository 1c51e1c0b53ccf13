import json
import re

import pytest
import yaml
from tree import ROOT

import rewards
from align.errors import RecipeError
from align.methods.rollouts import prompt_data
from align.methods.sft import data
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
        ("packing_strategy: bdf", "Did you mean 'bfd'?"),
        (
            "packing: true\nmax_length: null",
            "`packing: true` fills rows of `max_length` tokens, and `max_length` is null",
        ),
        ("padding_free: true\nmax_length: 64", "`padding_free: true` cuts no row to `max_length: 64`. Set"),
        (
            "label_smoothing_factor: 0.1\nloss_type: dft",
            "`label_smoothing_factor: 0.1` does nothing with `loss_type: dft`",
        ),
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
    ],
)
def test_as_plain_sft_all_of_trls_settings_work(parse, lines):
    assert parse(lines).method == "sft"


def test_what_is_said_of_consistency_makes_rows_of_both_quickstarts(tmp_path):
    """The sentence was refused with the recipe's own data when it named a family that needs one paragraph."""
    with pytest.raises(RecipeError) as told:
        load_recipe(ROOT / "recipes/sft/quickstart.yaml", ["--consistency_coef", "1"])
    (families,) = re.findall(r"perturb: (\[\w+\])", str(told.value))
    assert "`rewards.perturbed_rows`" in str(told.value)
    of_grpo = load_recipe(ROOT / "recipes/grpo/quickstart-headlines.yaml", ["--dataset.perturb", families])
    assert {row["family"] for row in prompt_data.load(of_grpo).rows} == {"original", *yaml.safe_load(families)}
    rows = [json.loads(line) for line in (ROOT / "recipes/sft/assets/lab/train.jsonl").read_text().splitlines()]
    asked = [row | {"question": row["prompt"], "answer": row["completion"]} for row in rows]
    made, _ = rewards.perturbed_rows(asked, lambda question, _: question, yaml.safe_load(families))
    (tmp_path / "made.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    of_sft = load_recipe(ROOT / "recipes/sft/quickstart.yaml", ["--dataset.path", str(tmp_path / "made.jsonl")])
    assert len(data.load(of_sft).items) == 2 * len(rows)

import pytest
import yaml
from fake_distribution import install
from some_recipes import OUTCOMES, PAIRS, QUESTIONS

from align.checks.needs import OPTIMIZERS, check_needs
from align.methods import METHODS
from align.recipe.combinations import optimizer_function
from align.recipe.fields import config_fields
from align.recipe.recipe import load_recipe

# `report_to`, and others, of packages that no extra of ours brings.
MISSING = [
    ({"report_to": "mlflow"}, "`report_to: mlflow` needs mlflow", "mlflow"),
    ({"report_to": ["none"]}, None, None),
    ({"report_to": ["swanlab"]}, "`report_to: swanlab` needs swanlab", "swanlab"),
    ({"use_liger_kernel": True}, "`use_liger_kernel: true` needs liger-kernel", "liger-kernel"),
    ({"optim": "stable_adamw"}, "`optim: stable_adamw` needs torch-optimi", "torch-optimi"),
    ({"optim": "sgd"}, None, None),
    ({"attn_implementation": "flash_attention_2"}, "`attn_implementation: flash_attention_2` needs flash-attn",
     "flash-attn"),
    ({"attn_implementation": "a/b"}, "`attn_implementation: a/b`, a kernel of the hub, needs kernels", "kernels"),
    ({"attn_implementation": "sdpa"}, None, None),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "sentence", "package"), MISSING, ids=lambda value: str(value)[:40])
def test_a_missing_package_is_named_with_its_line_until_it_is_installed(
    tiny_recipe, tmp_path, monkeypatch, keys, sentence, package
):
    recipe = load_recipe(tiny_recipe(**keys))
    found = check_needs(recipe)
    if sentence is None:
        assert found == []
        return
    (finding,) = found
    assert (finding.level, finding.check) == ("error", "extras")
    assert finding.text.startswith(f"{sentence}, which is not installed. Run `{finding.fix}`.")
    assert finding.fix == f'pip install "{package}"'
    install(tmp_path / "site", package, "1.0")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert check_needs(recipe) == []


@pytest.mark.parametrize(
    ("method", "keys", "words"),
    [
        (
            QUESTIONS,
            {"attn_implementation": "flex_attention"},
            "`attn_implementation: flex_attention` has no gradient on",
        ),
        (PAIRS, {"activation_offloading": True}, "`activation_offloading: true` moves activations from a GPU to"),
        (PAIRS, {"activation_offloading": False}, None),
    ],
)
@pytest.mark.parametrize("use_cpu", [True, False])
def test_what_a_cpu_cannot_do_is_refused_there_alone(tmp_path, monkeypatch, method, keys, words, use_cpu):
    lines = {"method": method, "model_name_or_path": "./model", "dataset": {"path": "./x.jsonl"}, "use_cpu": use_cpu}
    lines |= {"bf16": False} | ({"reward_funcs": ["format"]} if METHODS[method].has_rewards else {})
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(lines | keys))
    recipe = load_recipe(tmp_path / "recipe.yaml")
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert [(found.level, words in found.text) for found in check_needs(recipe)] == [("error", True)] * bool(words)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: True)
    assert bool(check_needs(recipe)) == (use_cpu and words is not None)


def test_a_wrong_deepspeed_file_of_the_recipe_is_told(tiny_recipe, tmp_path):
    (tmp_path / "zero.json").write_text('{"zero_optimisation": {"stage": 2}}')
    (finding,) = check_needs(load_recipe(tiny_recipe(deepspeed="./zero.json")))
    assert "`deepspeed`: " in finding.text
    assert "zero_optimization" in finding.text


def test_the_tables_name_what_transformers_has():
    made_by = {optimizer_function(name) for name in config_fields(OUTCOMES)["optim"].choices}
    assert set(OPTIMIZERS) <= made_by
    assert made_by - set(OPTIMIZERS) == {
        "_get_adafactor", "_get_adamw_torch", "_get_sgd", "_get_adagrad", "_get_rmsprop"
    }  # fmt: skip

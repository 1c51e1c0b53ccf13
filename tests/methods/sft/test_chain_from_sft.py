"""A warm start, and what starts from it, in one recipe."""

import re
from pathlib import Path

import pytest
import torch
import yaml
from pair_recipe import sourced_pairs, write_rows
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from align.checks.launch import Launch
from align.errors import RecipeError
from align.recipe.recipe import load_recipe
from align.services.prepared import prepare
from align.services.train import run

PAIRS = {"method": "crome", "dataset": {"path": "./pairs.jsonl"}, "max_length": 64}
PROMPTS = {
    "method": "grpo", "dataset": {"path": "./prompts.jsonl"}, "reward_funcs": ["format"], "num_generations": 4,
    "max_completion_length": 2, "gradient_checkpointing": False, "save_only_model": True,
}  # fmt: skip
SHORT = {
    "per_device_train_batch_size": 8, "max_steps": 2, "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 2,
    "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True,
}  # fmt: skip


@pytest.fixture
def chain(tmp_path, tiny_model_folder):
    def write(then, **changes):
        write_rows(tmp_path / "rows.jsonl", [{"prompt": f"q{i}?", "completion": f"It is {i}."} for i in range(8)])
        write_rows(tmp_path / "prompts.jsonl", [{"prompt": f"q{i}?"} for i in range(8)])
        write_rows(tmp_path / "pairs.jsonl", sourced_pairs(8))
        content = SHORT | {
            "method": "sft", "model_name_or_path": str(tiny_model_folder), "dataset": {"path": "./rows.jsonl"},
            "output_dir": "./run", "max_length": 64, "then": {"model_name_or_path": "trained"} | SHORT | then,
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes, sort_keys=False))
        return path

    return write


@pytest.mark.parametrize("then", [PROMPTS, PAIRS], ids=["grpo", "crome"])
def test_both_runs_are_checked_on_the_model_that_is_there(chain, tmp_path, tiny_model_folder, then):
    recipe = load_recipe(chain(then))
    assert recipe.then.model.model_name_or_path == recipe.then.trained == str(tmp_path / "run")
    assert recipe.then.settings.output_dir == str(tmp_path / "run" / then["method"])
    findings = prepare(recipe, Launch()).findings
    assert [each.text for each in findings if each.level == "error"] == []
    texts = {each.check: each.text for each in findings}
    assert texts["chain"] == "The second run starts from the model that the first trains."
    assert "parameters (counted)" in texts["then: memory"]
    assert not (tmp_path / "run").exists()


def test_the_chat_template_of_the_first_run_is_that_of_the_second(chain, tmp_path):
    marked = "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"
    (tmp_path / "marked.jinja").write_text(marked)
    talk = [{"role": "user", "content": "q?"}, {"role": "assistant", "content": "a"}]
    write_rows(tmp_path / "talks.jsonl", [{"messages": talk}] * 8)
    then = {"method": "sft", "dataset": {"path": "./talks.jsonl"}, "max_length": 64, "assistant_only_loss": True}
    for changes, is_marked in (({"chat_template_path": "./marked.jinja"}, True), ({}, False)):
        findings = prepare(load_recipe(chain(then, **changes)), Launch()).findings
        errors = [each.text for each in findings if each.level == "error"]
        assert any("marks answers" in each for each in errors) != is_marked


@pytest.mark.by_day("crome")
@pytest.mark.parametrize("then", [PROMPTS, PAIRS], ids=["grpo", "crome"])
def test_the_second_run_starts_where_the_first_ended(chain, tmp_path, then):
    path = chain(then | {"learning_rate": 0.0})  # so that its end is its beginning
    assert run(str(path), [], None) == 0
    first, second = (
        load_file(folder / "model.safetensors") for folder in (tmp_path / "run", tmp_path / "run" / then["method"])
    )
    shared = [name for name in first if name in second and not name.startswith("lm_head")]
    assert len(shared) > 10
    assert all(torch.equal(first[name], second[name]) for name in shared)
    base = AutoModelForCausalLM.from_pretrained(yaml.safe_load(path.read_text())["model_name_or_path"]).state_dict()
    assert not all(torch.equal(first[name], base[name]) for name in shared)
    resolved = yaml.safe_load((tmp_path / "run" / then["method"] / "recipe.yaml").read_text())
    assert Path(resolved["model_name_or_path"]) == tmp_path / "run"


@pytest.mark.parametrize(
    ("then", "changes", "words"),
    [
        (
            {"model_name_or_path": "./model"},
            {},
            "`then.model_name_or_path` must be `trained`, the model that sft trains",
        ),
        ({"method": "grop"}, {}, "Did you mean 'grpo'?"),
        ({"learning_rat": 1}, {}, "In `then`: Unknown key `learning_rat`"),
        ({"output_dir": "./run"}, {}, "`then.output_dir` is that of the first run"),
        ({}, {"use_peft": True}, "`then` starts from whole weights, and `use_peft: true` trains an adapter"),
    ],
)
def test_a_chain_that_cannot_be_run_is_refused(chain, then, changes, words):
    with pytest.raises(RecipeError, match=re.escape(words)):
        load_recipe(chain(PROMPTS | then, **changes))

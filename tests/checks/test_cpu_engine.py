import json
from pathlib import Path

import pytest
from some_recipes import PROMPTS, with_model

from align.checks.vllm_server import check_cpu_engine
from align.recipe.recipe import load_recipe


@pytest.fixture
def checked(tiny_recipe, monkeypatch):
    """Checks a recipe whose model says something of itself, where vLLM for CPUs is installed or not."""

    def check(config, engine="0.31.0", **changes):
        monkeypatch.setattr("align.checks.vllm_server.installed_version", lambda name: engine)
        path = tiny_recipe(use_vllm=True, **changes)
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            (path.parent / "model" / "config.json").write_text(text)
        return [finding.text for finding in check_cpu_engine(*with_model(load_recipe(path)))]

    return check


def test_a_model_whose_heads_a_cpu_engine_cannot_compute_is_refused(checked):
    (text,) = checked(None)  # 32 numbers, 4 heads
    assert "`use_vllm: true` with " in text
    assert "attention heads of 8 numbers, and vLLM on a CPU takes those of 32, 64, 80" in text
    assert text.endswith("Set `use_vllm: false`.")
    (text,) = checked({"text_config": {"hidden_size": 2560, "num_attention_heads": 8, "head_dim": 48}})
    assert "attention heads of 48 numbers" in text


@pytest.mark.parametrize(
    "config",
    [
        {"hidden_size": 576, "num_attention_heads": 9},
        {"hidden_size": 64, "num_attention_heads": 8, "head_dim": 128},
        {"hidden_size": 64, "num_attention_heads": 8, "kv_lora_rank": 4},
        {"text_config": None},
        "[]",
        "{",
    ],
)
def test_what_it_can_compute_and_what_is_not_known_passes(checked, config):
    assert checked(config) == []


def test_engines_on_gpus_and_servers_have_other_heads(checked):
    assert checked(None, engine=None) == []
    assert checked(None, vllm_mode="server") == []


def test_the_quickstart_with_tools_can_sample_from_it(checked):
    config = Path(__file__).parents[2] / f"recipes/{PROMPTS}/assets/shop/model/config.json"
    assert checked(config.read_text()) == []

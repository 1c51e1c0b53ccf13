import json
import shutil

import pytest
import yaml
from some_recipes import PROMPTS

from align.cli.app import app

REWARDS = """
def wordy(completions, **kwargs):
    return [len(completion) / 10 for completion in completions]


def brief(completions, **kwargs):
    return [-len(completion) / 10 for completion in completions]
"""


@pytest.mark.slow
def test_the_checkpoint_that_a_held_out_audit_likes_best_is_kept(tiny_model_folder, tmp_path):
    """The audit is the opposite of what is rewarded, and chooses among the checkpoints all the same."""
    shutil.copytree(tiny_model_folder, tmp_path / "model")
    (tmp_path / "own.py").write_text(REWARDS)
    for name, count in (("train", 16), ("eval", 6)):
        rows = [{"prompt": f"{name} {i}?"} for i in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = {
        "method": PROMPTS, "model_name_or_path": "./model", "output_dir": "./run",
        "reward_funcs": ["./own.py:wordy"], "audit_funcs": ["./own.py:brief"],
        "dataset": {"path": "./train.jsonl", "eval_path": "./eval.jsonl", "max_eval_rows": 4},
        "num_generations": 4, "per_device_train_batch_size": 8, "per_device_eval_batch_size": 8,
        "max_completion_length": 8, "max_steps": 8, "learning_rate": 5e-2, "logging_steps": 1,
        "eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True,
        "metric_for_best_model": "eval_audit/brief/mean", "greater_is_better": True,
        "bf16": False, "use_cpu": True, "report_to": "none",
    }  # fmt: skip
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert (app(["train", str(tmp_path / "recipe.yaml")], standalone_mode=False) or 0) == 0
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    audits = {line["step"]: line["eval_audit/brief/mean"] for line in lines if "eval_audit/brief/mean" in line}
    assert list(audits) == [2, 4, 6, 8]
    states = sorted((tmp_path / "run").glob("checkpoint-*/trainer_state.json"), key=lambda path: path.stat().st_mtime)
    state = json.loads(states[-1].read_text())
    best = max(audits, key=audits.get)
    assert state["best_metric"] == pytest.approx(audits[best])
    assert state["best_model_checkpoint"].endswith(f"checkpoint-{best}")

import json
import shutil
from importlib.util import find_spec

import pandas as pd
import pytest
import yaml
from started import launch, metrics_of
from tiny import tiny_reward_model, tiny_tokenizer

from align.services.train import run

pytestmark = pytest.mark.slow

TEMPLATE = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"


@pytest.fixture
def recipe(tmp_path, tiny_model_folder):
    """A recipe of GRPO whose prompts are messages and whose rewards are a reward model and a function."""

    def write(**changes):
        shutil.copytree(tiny_model_folder, tmp_path / "model", dirs_exist_ok=True)
        tokenizer = tiny_tokenizer()
        tokenizer.chat_template = TEMPLATE
        for name in ("model", "rm"):
            tokenizer.save_pretrained(tmp_path / name)
        tiny_reward_model(vocabulary=len(tokenizer)).save_pretrained(tmp_path / "rm")
        rows = [{"prompt": [{"role": "user", "content": f"say {i}"}], "gold": str(i)} for i in range(8)]
        (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        (tmp_path / "own.py").write_text(
            "def variety(completions, gold, **kwargs):\n"
            "    return [len(set(c[0]['content'])) / 10 for c in completions]\n"
        )
        content = {
            "method": "grpo", "model_name_or_path": "./model", "output_dir": str(tmp_path / "run"),
            "dataset": {"path": "./train.jsonl"}, "reward_funcs": ["./rm", "own.py:variety"],
            "reward_weights": [1.0, 0.5], "num_generations": 4, "per_device_train_batch_size": 8,
            "max_completion_length": 8, "max_steps": 2, "learning_rate": 1e-3, "logging_steps": 1, "save_steps": 2,
            "use_cpu": True, "bf16": False, "report_to": "none", "gradient_checkpointing": False,
        }  # fmt: skip
        path = tmp_path / "recipe.yaml"
        path.write_text(yaml.safe_dump(content | changes))
        return path

    return write


def assert_rewarded(folder):
    metrics = metrics_of(folder)
    assert sorted(metrics) == [1, 2]
    for line in metrics.values():
        assert line["reward"] == pytest.approx(line["rewards/rm/mean"] + 0.5 * line["rewards/variety/mean"], abs=1e-5)
        assert line["rewards/rm/std"] > 0
        assert line["grad_norm"] > 0


def test_a_policy_is_trained_on_a_reward_model_and_a_function(recipe, tmp_path):
    assert run(str(recipe()), [], None) == 0
    folder = tmp_path / "run"
    assert_rewarded(folder)
    table = pd.read_parquet(folder / "completions" / "completions_00001.parquet")
    assert {"prompt", "completion", "rm", "variety", "advantage"} <= set(table.columns)
    assert "GRPO" in (folder / "README.md").read_text()
    page = (folder / "report.html").read_text()
    assert "user: say" in page
    assert (folder / "model.safetensors").is_file()


@pytest.mark.nightly  # tests/runs/test_two_processes.py has a reward model beside a sharded policy in CI
@pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
def test_a_reward_model_rewards_a_sharded_policy(recipe, tmp_path):
    done = launch("zero3_cpu.yaml", "-m", "align", "train", recipe())
    assert done.returncode == 0, done.stderr[-4000:]
    assert_rewarded(tmp_path / "run")

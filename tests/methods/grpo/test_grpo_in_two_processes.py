"""What two processes have to agree on in GRPO; one launch trains both recipes, as imports cost more than steps."""

import json
from pathlib import Path

import pandas as pd
import pytest
import yaml
from calling import SHOP
from started import WITHOUT_VLLM, launch, metrics_of
from test_perturbed_recipes import OPTIONS, WHOLE

from align.assets import find_recipe

pytestmark = pytest.mark.slow
RUN = Path(__file__).with_name("recipes_run.py")
TOOLS = find_recipe("grpo/quickstart-tools")
HANGS_ONCE = '''
import time
from pathlib import Path


def price(item: str) -> int:
    """Looks up a price.

    Args:
        item: What is asked for.
    """
    try:
        if item != "example":
            Path(__file__).with_suffix(".once").open("x").close()
            time.sleep(60)
    except FileExistsError:
        pass
    return 3
'''


def perturbed(folder, model):
    """Makes a recipe whose rows are asked in three versions, of which each process has parts."""
    rows = [{"id": str(i), "question": f"Which, {i}?", "options": OPTIONS, "answer": "ABCD"[i % 4]} for i in range(8)]
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "together.py").write_text(WHOLE)
    return {
        "method": "grpo", "model_name_or_path": str(model), "output_dir": str(folder / "perturbed"),
        "dataset": {
            "path": str(folder / "train.jsonl"), "conversational": False,
            "prompt_template": "{question}\n{options}\n", "perturb": ["option_order", "whitespace"],
        },
        "reward_funcs": [f"{folder}/together.py:together"], "num_generations": 2, "per_device_train_batch_size": 3,
        "gradient_accumulation_steps": 2, "max_completion_length": 4, "max_steps": 4, "logging_steps": 1,
        "save_strategy": "no", "use_cpu": True, "bf16": False, "report_to": "none",
        "gradient_checkpointing": False, "scale_rewards": "batch",
    }  # fmt: skip


def with_a_tool(folder):
    """Makes the shipped recipe with a tool that hangs in the first of all calls."""
    (folder / "own.py").write_text(HANGS_ONCE)
    return yaml.safe_load(TOOLS.read_text()) | {
        "model_name_or_path": str(SHOP / "model"), "dataset": {"path": str(SHOP / "train.jsonl")},
        "tools": [f"{folder}/own.py:price"], "output_dir": str(folder / "tools"), "tool_timeout": 2, "max_steps": 3,
        "per_device_train_batch_size": 16, "logging_steps": 1,
    }  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory, tiny_model_folder):
    """Trains both recipes in two processes; returns the folder of the runs."""
    folder = tmp_path_factory.mktemp("two")
    paths = []
    for name, content in {"a": perturbed(folder, tiny_model_folder), "b": with_a_tool(folder)}.items():
        paths.append(folder / f"{name}.yaml")
        paths[-1].write_text(yaml.safe_dump(content, sort_keys=False))
    done = launch("ddp_cpu.yaml", WITHOUT_VLLM, RUN, *paths)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return folder


def test_versions_of_a_row_meet_on_two_processes_and_across_the_steps_of_a_generation(trained):
    metrics = metrics_of(trained / "perturbed")
    assert [metrics[step]["rewards/together/mean"] for step in range(1, 5)] == [1.0] * 4


def test_a_tool_that_hangs_once_in_one_of_two_processes_costs_one_row(trained):
    lost = [line["tools/lost_share"] for line in metrics_of(trained / "tools").values()]
    assert sum(lost) == pytest.approx(1 / 32)
    table = pd.read_parquet(trained / "tools" / "completions" / "completions_00001.parquet")
    hung = table["tool_calls"].str.contains('"failure": "timeout"')
    assert table["number_accuracy"].isna().tolist() == hung.tolist()
    assert hung.sum() == 1

"""What two processes have to agree on in GRPO; one launch trains all of it, as imports cost more than steps."""

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
import yaml
from calling import SHOP
from fsdp_on_cpus import WORDS
from started import WITHOUT_VLLM, launch, metrics_of
from test_perturbed_recipes import OPTIONS, WHOLE
from tiny import tiny_model, tiny_tokenizer

from align.assets import find_recipe

pytestmark = pytest.mark.slow
RUN = Path(__file__).with_name("recipes_run.py")
TOOLS = find_recipe("grpo/quickstart-tools")
NEEDS_DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="needs the extra `deepspeed`")
STEPS = 7  # with what teaches nothing on neither, one or both of two processes
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
    """Trains in two processes when first asked, under DDP both recipes too; returns the folder of the runs."""

    @cache
    def train(config):
        folder = tmp_path_factory.mktemp(config)
        tiny_model(vocabulary=len(tiny_tokenizer())).save_pretrained(folder / "model")
        paths = []
        recipes = {"a": perturbed(folder, tiny_model_folder), "b": with_a_tool(folder)} if config == "ddp_cpu" else {}
        for name, content in recipes.items():
            paths.append(folder / f"{name}.yaml")
            paths[-1].write_text(yaml.safe_dump(content, sort_keys=False))
        done = launch(f"{config}.yaml", *WORDS.get(config, ()), WITHOUT_VLLM, RUN, folder, STEPS, *paths)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        return folder

    return train


@pytest.mark.parametrize(
    "config",
    [
        "ddp_cpu",
        pytest.param("zero2_cpu", marks=(pytest.mark.nightly, NEEDS_DEEPSPEED)),
        pytest.param("zero3_cpu", marks=(pytest.mark.nightly, NEEDS_DEEPSPEED)),
        pytest.param("fsdp2", marks=pytest.mark.nightly),
    ],
)
def test_the_weights_are_those_of_all_completions_where_ranks_leave_out_unlike_numbers(trained, config):
    folder = trained(config)
    assert json.loads((folder / "apart.json").read_text()) < 1e-6
    off, auto = (
        [log for log in json.loads((folder / f"{knob}.json").read_text()) if "grad_norm" in log]
        for knob in ("off", "auto")
    )
    assert [log["grad_norm"] for log in auto] == pytest.approx([log["grad_norm"] for log in off], rel=1e-5, abs=1e-7)
    shares = [log["rollouts/trained_share"] for log in auto]
    assert len(shares) == STEPS
    assert 0.0 in shares
    assert 0 < max(shares) < 1


def test_groups_with_images_read_them_once_on_two_processes(trained):
    pytest.importorskip("torchvision", reason="needs the extra `vision`")
    folder = trained("ddp_cpu") / "images"
    assert json.loads((folder / "apart.json").read_text()) < 2e-6
    logs = [log for log in json.loads((folder / "auto.json").read_text()) if "grad_norm" in log]
    assert [log["rollouts/trained_share"] for log in logs] == [1.0, 0.5, 1.0]
    for log in logs:
        assert log["rollouts/floor_tokens"] <= log["rollouts/read_tokens"] < 0.4 * log["rollouts/trained_tokens"]


def test_versions_of_a_row_meet_on_two_processes_and_across_the_steps_of_a_generation(trained):
    trained = trained("ddp_cpu")
    metrics = metrics_of(trained / "perturbed")
    assert [metrics[step]["rewards/together/mean"] for step in range(1, 5)] == [1.0] * 4


def test_a_tool_that_hangs_once_in_one_of_two_processes_costs_one_row(trained):
    trained = trained("ddp_cpu")
    lost = [line["tools/lost_share"] for line in metrics_of(trained / "tools").values()]
    assert sum(lost) == pytest.approx(1 / 32)
    table = pd.read_parquet(trained / "tools" / "completions" / "completions_00001.parquet")
    hung = table["tool_calls"].str.contains('"failure": "timeout"')
    assert table["number_accuracy"].isna().tolist() == hung.tolist()
    assert hung.sum() == 1

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from align.errors import RecipeError
from align.recipe.deepspeed import DeepSpeedBlock, Launch, check_deepspeed_config, launch_file

FOLDER = Path(__file__).parents[2] / "ds_configs"
FILES = sorted(FOLDER.glob("*.yaml"))
STAGES = {"fsdp2": 0, "ddp": 0, "zero1": 1, "zero2": 2, "zero3": 3}
GOOD_JSON: dict[str, Any] = {
    "train_batch_size": "auto",
    "gradient_clipping": "auto",
    "bf16": {"enabled": "auto"},
    "zero_optimization": {"stage": 3, "reduce_bucket_size": "auto", "offload_optimizer": {"device": "cpu"}},
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_passes_and_is_what_its_name_says(path: Path):
    plan = check_deepspeed_config(path)
    assert plan.zero_stage == STAGES[path.stem.split("_")[0]]
    assert plan.offload_optimizer == plan.offload_param == ("offload" in path.stem)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_file_says_what_for_on_what_and_how(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# purpose: ")
    assert lines[1].startswith("# hardware: ")
    assert any(f"accelerate launch --config_file ds_configs/{path.name}" in line for line in lines)


def test_the_keys_are_those_of_the_installed_accelerate():
    from accelerate.commands.config.config_args import ClusterConfig
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils import DistributedType

    groups = {group.title: group for group in launch_command_parser()._action_groups}
    launcher = {action.dest for action in groups["DeepSpeed Arguments"]._group_actions}
    assert set(DeepSpeedBlock.model_fields) == launcher
    # accelerate turns dynamo_backend into a dynamo_config while it reads the file.
    assert set(launch_file().model_fields) - {"dynamo_backend"} == set(ClusterConfig.__dataclass_fields__)
    types = launch_file().model_fields["distributed_type"].annotation.__args__
    assert set(types) == {kind.value for kind in DistributedType}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("zero_stage: 3", "zero_stag: 3", "unknown key `deepspeed_config.zero_stag`. Did you mean 'zero_stage'?"),
        ("zero_stage: 3", "zero_stage: 4", "`deepspeed_config.zero_stage`"),
        ("zero_stage: 3", "zero_stage: '3'", "got '3'"),
        ("zero_stage: 3", "gradient_clipping: 1.0", "`deepspeed_config.zero_stage` is missing"),
        ("zero_stage: 3", "zero_stage: 2\n  offload_param_device: cpu", "needs `zero_stage: 3`, got 2"),
        ("offload_optimizer_device: none", "offload_optimizer_device: gpu", "'none', 'cpu' or 'nvme'; got 'gpu'"),
        ("num_processes", "num_proceses", "unknown key `num_proceses`. Did you mean 'num_processes'?"),
        ("mixed_precision: bf16", "mixed_precision: no", 'write "no"'),
        ("DEEPSPEED", "MULTI_GPU", "belong together"),
        ("DEEPSPEED", "DEEPSPED", "`distributed_type`"),
        ("distributed_type: DEEPSPEED\n", "", "`distributed_type` is missing"),
        ("zero_stage: 3", "zero_stage: 3\n  deepspeed_config_file: x.json", "`zero_stage` cannot stand beside"),
    ],
)
def test_a_wrong_launch_file_is_refused_with_the_key_and_a_remedy(tmp_path: Path, old: str, new: str, said: str):
    text = (FOLDER / "zero3.yaml").read_text(encoding="utf-8").replace("  offload_param_device: none\n", "")
    assert old in text
    path = tmp_path / "launch.yaml"
    path.write_text(text.replace(old, new), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        check_deepspeed_config(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_multi_cpu_file_that_would_start_one_process_is_refused(tmp_path: Path):
    path = tmp_path / "cpu.yaml"
    path.write_text("distributed_type: MULTI_CPU\nuse_cpu: true\nnum_processes: 2\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="starts one process, not 2"):
        check_deepspeed_config(path)


def test_a_deepspeed_file_beside_the_launch_file_is_checked_too(tmp_path: Path):
    json_path, path = tmp_path / "ds.json", tmp_path / "launch.yaml"
    path.write_text(
        f"distributed_type: DEEPSPEED\nnum_processes: 2\ndeepspeed_config:\n  deepspeed_config_file: {json_path}\n",
        encoding="utf-8",
    )
    with pytest.raises(RecipeError, match="Cannot read"):
        check_deepspeed_config(path)
    pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
    json_path.write_text(json.dumps(GOOD_JSON), encoding="utf-8")
    assert check_deepspeed_config(path) == Launch(2, 3, offload_optimizer=True, offload_param=False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"zero_optimisation": {}}, "unknown key `zero_optimisation`. Did you mean 'zero_optimization'?"),
        ({"zero_optimization": {"stage": 7}}, "`zero_optimization.stage`"),
        ({"zero_optimization": {"stage": 2, "overlap_com": True}}, "Did you mean 'overlap_comm'?"),
        ({"zero_optimization": {"stage": 3, "offload_param": {"devise": "cpu"}}}, "Did you mean 'device'?"),
        ({"zero_optimization": True}, "`zero_optimization` must be a block, got True"),
        ({"bf16": {"enabled": "maybe"}}, "`bf16.enabled`"),
        ({"train_batch_size": "8"}, "`train_batch_size` must be a number or \"auto\", got '8'"),
    ],
)
def test_a_wrong_deepspeed_file_is_refused_with_the_key_and_a_remedy(
    tmp_path: Path, change: dict[str, Any], said: str
):
    pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
    path = tmp_path / "ds.json"
    path.write_text(json.dumps(GOOD_JSON | change), encoding="utf-8")
    with pytest.raises(RecipeError) as caught:
        check_deepspeed_config(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_broken_deepspeed_file_names_the_line(tmp_path: Path):
    path = tmp_path / "ds.json"
    path.write_text('{\n  "bf16": {,\n}', encoding="utf-8")
    with pytest.raises(RecipeError, match="line 2"):
        check_deepspeed_config(path)


WHO = """
import torch
from accelerate import Accelerator
from transformers import TrainingArguments
arguments = TrainingArguments(output_dir="unused", use_cpu=True)
state = Accelerator().state
plugin = state.deepspeed_plugin
total = torch.tensor([float(state.process_index + 1)])
torch.distributed.all_reduce(total)
who = ["WHO", state.num_processes, torch.distributed.get_backend(), plugin and plugin.zero_stage, total.item()]
print(" ".join(map(str, who)) + chr(10), end="")  # in one write: both processes have the same pipe
"""


@pytest.mark.slow
@pytest.mark.nightly  # tests/methods/test_distributed.py starts DDP and ZeRO-3 in CI, and ZeRO-2 lies between them
@pytest.mark.parametrize(("name", "stage"), [("ddp_cpu", None), ("zero2_cpu", 2), ("zero3_cpu", 3)])
def test_the_cpu_files_start_two_processes_that_talk(tmp_path: Path, name: str, stage: int | None):
    if stage is not None:
        pytest.importorskip("deepspeed", reason="needs the extra `deepspeed`")
    if shutil.which("c++") is None and stage is not None:
        pytest.skip("needs a C++ compiler: DeepSpeed builds an extension for CPUs")
    script = tmp_path / "who.py"
    script.write_text(WHO, encoding="utf-8")
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(FOLDER / f"{name}.yaml")]
    environment = {k: v for k, v in os.environ.items() if k != "ACCELERATE_USE_CPU"}
    done = subprocess.run(
        [*launcher, str(script)], capture_output=True, text=True, timeout=300, env=environment, check=False
    )
    lines = [line[line.index("WHO") :] for line in done.stdout.splitlines() if "WHO" in line]
    assert lines == [f"WHO 2 gloo {stage} 3.0"] * 2, done.stderr[-2000:]

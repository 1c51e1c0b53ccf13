import os
import re
from pathlib import Path

import pytest

from align.assets import asset_dir
from align.checks.launch import Launch, check_quantized, check_sharded, current_launch, read_launch
from align.errors import RecipeError
from align.recipe.recipe import load_recipe

EXPECTED = {
    "ddp": (None, 0, False),
    "fsdp2": (None, 0, False),
    "ddp_cpu": (2, 0, False),
    "zero1": (None, 1, False),
    "zero2": (None, 2, False),
    "zero2_cpu": (2, 2, False),
    "zero3": (None, 3, False),
    "zero3_cpu": (2, 3, False),
    "zero3_offload": (None, 3, True),
    "zero3_multinode": (None, 3, False),
}


def test_every_shipped_launch_file_is_expected_here():
    assert {path.stem for path in asset_dir("ds_configs").glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_shipped_launch_files_are_read(name):
    processes, stage, offload = EXPECTED[name]
    launch = read_launch(asset_dir("ds_configs") / f"{name}.yaml")
    assert (launch.zero_stage, launch.offload_optimizer) == (stage, offload)
    assert launch.num_processes == processes if processes else launch.num_processes >= 2


def test_what_accelerate_would_not_do_with_fsdp_is_refused(tiny_recipe, tmp_path):
    file = asset_dir("ds_configs") / "fsdp2.yaml"
    launch = read_launch(file)
    assert (launch.fsdp, launch.sharding) == (True, "fsdp")
    (finding,) = check_sharded(load_recipe(tiny_recipe(use_cpu=True)), launch)
    assert "on CPUs accelerate trains with DDP in its place without a word" in finding.text
    assert finding.level == "error"
    (tmp_path / "launch.yaml").write_text(f"{file.read_text()}use_cpu: true\n")
    with pytest.raises(RecipeError, match=r"`distributed_type: FSDP` with `use_cpu: true` trains with DDP"):
        read_launch(tmp_path / "launch.yaml")
    (tmp_path / "launch.yaml").write_text(file.read_text().replace("fsdp_version", "fsdp_verson"))
    with pytest.raises(RecipeError, match=r"unknown key `fsdp_config.fsdp_verson`. Did you mean 'fsdp_version'"):
        read_launch(tmp_path / "launch.yaml")
    for text in (
        file.read_text().replace("loading: false", "loading: true"),
        re.sub(".*loading.*", "", file.read_text()),
    ):
        (tmp_path / "launch.yaml").write_text(text)
        with pytest.raises(RecipeError, match=r"a reference or a reward model would be random in the others"):
            read_launch(tmp_path / "launch.yaml")


def test_fsdp_is_refused_on_a_machine_without_gpus_only_by_the_run_itself(tiny_recipe, tmp_path, monkeypatch):
    recipe, launch = load_recipe(tiny_recipe(use_cpu=False)), Launch(2, fsdp=True)
    monkeypatch.setenv("PATH", str(tmp_path))  # as on a machine without a driver
    (found,) = check_sharded(recipe, launch)
    assert found.level == "warning"
    assert found.text.startswith("This machine shows no GPU; the launch asks for FSDP")
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'A GPU, 81559, 4'\n")
    driver.chmod(0o755)
    assert check_sharded(recipe, launch) == []
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (found,) = check_sharded(recipe, launch)
    assert found.level == "error"
    assert "launch with ds_configs/ddp_cpu.yaml" in found.text
    monkeypatch.setattr("align.checks.launch._has_gpu", lambda: True)
    assert check_sharded(recipe, launch) == []
    monkeypatch.setenv("FSDP_CPU_RAM_EFFICIENT_LOADING", "true")
    (found,) = check_sharded(recipe, launch)
    assert (found.level, "loading: false" in found.text) == ("error", True)


def test_what_becomes_of_sharded_weights_of_few_bits_is_said_and_nothing_is_refused(tiny_recipe):
    def said(launch, *words, **keys):
        recipe = load_recipe(tiny_recipe(use_peft=True, **keys or {"load_in_4bit": True}), words)
        findings = check_quantized(recipe, launch)
        assert {finding.level for finding in findings} == {"warning"}
        return [finding.text for finding in findings]

    on_a_cpu = said(Launch(2, 2))
    assert len(on_a_cpu) == 1
    zero3, fsdp, storage = Launch(2, 3), Launch(2, fsdp=True), "--bnb_4bit_quant_storage"
    assert "every process loads all weights before they are split" in said(zero3)[0]
    assert "wrong losses" not in said(zero3)[0]
    assert "compare the first ones with those under ZeRO-2" in said(zero3, load_in_8bit=True)[0]
    assert "each process keeps all. Set `bnb_4bit_quant_storage: float32`" in said(fsdp)[0]
    assert "packed into, bfloat16. Set" in said(fsdp, storage, "bfloat16")[0]
    assert said(fsdp, storage, "float32") == on_a_cpu
    assert "these are whole numbers" in said(fsdp, load_in_8bit=True)[0]


REFUSED = {
    "both": ({"load_in_4bit": True, "load_in_8bit": True}, "exclude each other"),
    "no adapter": ({"load_in_4bit": True}, "`load_in_4bit: true` needs `use_peft: true`"),
    "no bits": ({"bnb_4bit_quant_type": "fp4"}, "Set `load_in_4bit: true`"),
    "no type": ({"load_in_8bit": True, "use_peft": True, "dtype": "auto"}, "computes in `dtype`"),
    "vLLM": ({"load_in_8bit": True, "use_peft": True, "use_vllm": True}, "cannot stand with `use_vllm: true`"),
}


@pytest.mark.parametrize(("keys", "words"), REFUSED.values(), ids=list(REFUSED))
def test_keys_of_quantization_that_mean_nothing_together_are_refused(tiny_recipe, keys, words):
    with pytest.raises(RecipeError) as error:
        load_recipe(tiny_recipe(**keys))
    assert words in str(error.value)


def test_without_a_file_there_is_one_process():
    assert read_launch(None) == Launch(1, 0, False, False)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("zero_stage: 3", "zero_stge: 3", "`deepspeed_config.zero_stge`.*'zero_stage'"),
        ("zero_stage: 3", "zero_stage: 4", "`deepspeed_config.zero_stage`.*got 4"),
        ("num_processes: 4", "num_procesess: 4", "`num_procesess`.*'num_processes'"),
        ("num_processes: 4", "num_processes: four", "`num_processes`.*'four'"),
    ],
)
def test_a_wrong_line_is_refused(tmp_path, old, new, message):
    text = (asset_dir("ds_configs") / "zero3.yaml").read_text()
    assert old in text
    path = tmp_path / "launch.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(RecipeError, match=message):
        read_launch(path)


def test_a_missing_file_is_refused():
    with pytest.raises(RecipeError, match=r"Cannot read none\.yaml"):
        read_launch(Path("none.yaml"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Launch()),
        ({"WORLD_SIZE": "4"}, Launch(4)),
        (
            {"WORLD_SIZE": "4", "ACCELERATE_USE_DEEPSPEED": "true", "ACCELERATE_DEEPSPEED_ZERO_STAGE": "3"},
            Launch(4, 3),
        ),
        (
            {
                "ACCELERATE_USE_DEEPSPEED": "true",
                "ACCELERATE_DEEPSPEED_ZERO_STAGE": "2",
                "ACCELERATE_DEEPSPEED_OFFLOAD_OPTIMIZER_DEVICE": "cpu",
                "ACCELERATE_DEEPSPEED_OFFLOAD_PARAM_DEVICE": "none",
            },
            Launch(1, 2, True, False),
        ),
    ],
)
def test_a_launched_process_reads_what_accelerate_told_it(monkeypatch, variables, expected):
    for name in ("WORLD_SIZE", *[name for name in os.environ if name.startswith("ACCELERATE_")]):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert current_launch() == expected


def test_the_variables_are_those_that_accelerate_sets(monkeypatch):
    from accelerate.commands.launch import launch_command_parser
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    words = (
        "--use_deepspeed --zero_stage 3 --offload_optimizer_device cpu --offload_param_device cpu --num_processes 2 "
        "--num_machines 1 --mixed_precision no --main_process_port 1 --gradient_clipping 1.0 "
        "--gradient_accumulation_steps 1 --zero3_init_flag true --zero3_save_16bit_model true train.py"
    )
    arguments = launch_command_parser().parse_args(words.split())
    arguments.deepspeed_fields_from_accelerate_config = ""
    _, environment = prepare_deepspeed_cmd_env(arguments)
    for name, value in environment.items():
        if name.startswith("ACCELERATE_"):
            monkeypatch.setenv(name, value)
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert current_launch() == Launch(2, 3, True, True)

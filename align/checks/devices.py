"""What the machine computes with: GPUs and whether torch can use them, memory, shared memory."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from align.checks.finding import Finding
from align.threads import SMALL, choose_threads, num_cores
from align.versions import installed_version

GIB = 2**30
_LEAST_MEMORY, _LEAST_SHARED = 4.0, 1.0  # GiB
_BUSY = 0.1  # share of a GPU's memory in use before anything of ours runs
_SECONDS = 60
_PROBE = (
    "import torch; assert torch.cuda.is_available(); torch.zeros(1, device='cuda'); print(torch.cuda.device_count())"
)
_LISTING = (
    "import json, torch; print(json.dumps([(torch.cuda.get_device_name(i), *torch.cuda.mem_get_info(i)) "
    "for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)]))"
)
Gpu = tuple[str, float, float]


def check_devices() -> list[Finding]:
    """Looks for GPUs, asks torch about them only if there are some, and measures memory."""
    gpus = list_gpus()
    found = _check_gpus(gpus) if gpus else [_check_cpu()]
    return [*found, _check_memory(), *_check_shared_memory(Path("/dev/shm"))]


def list_gpus() -> list[Gpu]:
    """Asks the driver for name, GiB of memory and GiB in use of every GPU, or torch where it brings no program."""
    listed = _ask_driver()
    return _ask_torch() if listed is None else listed


def _ask_driver() -> list[Gpu] | None:
    if shutil.which("nvidia-smi") is None:
        return None
    query = ["nvidia-smi", "--query-gpu=name,memory.total,memory.used", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.splitlines()]
    sized = [row for row in rows if len(row) == 3 and row[1].isdigit() and row[2].isdigit()]
    return [(name, int(total) / 1024, int(used) / 1024) for name, total, used in sized]


def _ask_torch() -> list[Gpu]:
    """Asks in another process: a container may have the libraries of the driver and no `nvidia-smi`."""
    if torch_build() is None:
        return []
    try:
        done = subprocess.run([sys.executable, "-c", _LISTING], capture_output=True, text=True, timeout=_SECONDS)
        return [(name, total / GIB, (total - free) / GIB) for name, free, total in json.loads(done.stdout)]
    except (OSError, ValueError, subprocess.TimeoutExpired):  # it failed, which who asks for GPUs by name is told
        return []


def torch_build() -> str | None:
    """Reads which accelerator the installed torch was built for, without importing it: `13.0`, `rocm ...` or None."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.submodule_search_locations is None:
        return None
    source = (Path(next(iter(spec.submodule_search_locations))) / "version.py").read_text(encoding="utf-8")
    found = re.search(r"^(cuda|hip)\b[^=]*= '([^']+)'", source, re.MULTILINE)
    return None if found is None else found[2] if found[1] == "cuda" else f"rocm {found[2]}"


def _check_gpus(gpus: list[Gpu]) -> list[Finding]:
    numbers: dict[str, Any] = {"gpus": [{"name": name, "gib": total, "used_gib": used} for name, total, used in gpus]}
    listed = ", ".join(f"{name} ({total:.0f} GiB)" for name, total, _ in gpus)
    findings = [_check_torch(listed, len(gpus), numbers)]
    for number, (name, total, used) in enumerate(gpus):
        if used > _BUSY * total:
            text = f"GPU {number} ({name}) already has {used:.0f} of {total:.0f} GiB in use by another process."
            findings.append(Finding("warning", "devices", text, fix="nvidia-smi"))
    return findings


def _check_torch(listed: str, count: int, numbers: dict[str, Any]) -> Finding:
    build, version = torch_build(), (installed_version("torch") or "").partition("+")[0]
    if build is None:
        text = f"{listed}: torch {installed_version('torch')} was built for CPUs and will not use them."
        return Finding("error", "devices", text, numbers, f'pip install --force-reinstall "torch=={version}"')
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        text = f"{listed}: hidden from torch, because the variable CUDA_VISIBLE_DEVICES is set and names none."
        return Finding("warning", "devices", text, numbers, "unset CUDA_VISIBLE_DEVICES")
    try:
        probe = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_SECONDS)
        error = (probe.stderr.strip().splitlines() or ["no output"])[-1] if probe.returncode else ""
    except subprocess.TimeoutExpired:
        error = f"no answer in {_SECONDS} seconds"
    if error:
        text = (
            f"{listed}: torch {version} for CUDA {build} cannot use them ({error}). The driver is older than this "
            "CUDA, or the GPU was lost; update the driver, or look at it with the line below."
        )
        return Finding("error", "devices", text, numbers, "nvidia-smi")
    return Finding(
        "ok", "devices", f"{listed}, torch for CUDA {build} uses {probe.stdout.strip()} of {count}.", numbers
    )


def _check_cpu() -> Finding:
    cores, threads = num_cores(), choose_threads(None)
    small = "" if threads.number == 1 else f", or 1 for a model below {SMALL // 1_000_000} million weights"
    text = (
        f"No NVIDIA GPU; {cores} CPU cores. Recipes run here with `use_cpu: true`, which `align train` sets itself, "
        f"and with {threads.number} threads ({threads.why}){small}."
    )
    return Finding("ok", "devices", text, {"gpus": [], "cpus": cores, "threads": threads.number})


def _check_memory() -> Finding:
    import psutil

    memory = psutil.virtual_memory()
    total, free = _within_container(memory.total, memory.available)
    text = f"{free / GIB:.1f} of {total / GIB:.1f} GiB of memory are free."
    numbers = {"total_bytes": total, "free_bytes": free}
    if free < _LEAST_MEMORY * GIB:
        text += f" Loading a model of a billion parameters takes about {_LEAST_MEMORY:.0f} GiB. See what holds it:"
        return Finding("warning", "memory", text, numbers, "ps aux --sort=-rss | head")
    return Finding("ok", "memory", text, numbers)


def _within_container(total: int, free: int, folder: Path = Path("/sys/fs/cgroup")) -> tuple[int, int]:
    """Lowers total and free bytes to a container's limit, which the kernel enforces and `free` does not show."""
    try:
        limit, used = (int((folder / name).read_text()) for name in ("memory.max", "memory.current"))
    except (OSError, ValueError):  # no such group, or "max"
        return total, free
    return min(total, limit), min(free, max(0, limit - used))


def _check_shared_memory(folder: Path) -> list[Finding]:
    """Docker gives 64 MiB of it, with which NCCL and data loaders die of a bus error."""
    if not folder.is_dir() or (size := shutil.disk_usage(folder).total) >= _LEAST_SHARED * GIB:
        return []
    text = (
        f"{folder} has {size / 2**20:.0f} MiB; several processes need {_LEAST_SHARED:.0f} GiB. Start the container so:"
    )
    return [Finding("warning", "memory", text, {"shared_bytes": size}, "docker run --shm-size=8g ...")]

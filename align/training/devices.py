"""Checkpoints of several processes on CPUs, which torch writes with a number of a CPU and cannot read back."""

from typing import Any

import torch


def restore_to_one_cpu() -> None:
    """Lets `torch.load` put what `cpu:0` is asked for on the CPU.

    transformers hands `map_location` the device of a process, and accelerate numbers CPUs (transformers 5.17 to 5.24,
    accelerate 1.15); there is one CPU as far as torch is concerned.
    """
    torch.serialization.register_package(15, _no_tag, _restored)  # after torch's own for the CPU, 10


def _no_tag(storage: Any) -> None:
    return None


def _restored(storage: Any, location: str) -> Any | None:
    return storage if location.startswith("cpu:") else None

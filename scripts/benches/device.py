"""Where a bench runs: the device, the type of its weights, and a clock that waits for the device."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device` and `--dtype`."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights")


def on_device(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings of a trainer that computes there and leaves nothing behind."""
    where = {"use_cpu": arguments.device == "cpu", "bf16": arguments.dtype == "bfloat16"}
    return where | {"output_dir": tempfile.mkdtemp(), "report_to": "none", "save_strategy": "no", "disable_tqdm": True}


def ratios_of(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Returns the median of the ratios of two arms, and their quartiles."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return middle, low, high


def weights(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns what `from_pretrained` is told of the type."""
    return {"dtype": getattr(torch, arguments.dtype)}


def clock(arguments: argparse.Namespace, name: str) -> Callable[[], float]:
    """Returns a clock of `CLOCKS`; for a GPU, which works on behind the program, that of the wall, after a wait."""
    if arguments.device == "cpu":
        return CLOCKS[name]

    def waited() -> float:
        torch.cuda.synchronize()
        return time.perf_counter()

    return waited

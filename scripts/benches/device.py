"""How a bench of trainers runs: where, by which clock, arm after arm, and what it counts and tells."""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from scripts.benches.counted import Cost
from scripts.benches.random_model import NAMES, random_model

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def add_turns(parser: argparse.ArgumentParser, rounds: int, threads: int = 2, clock: str | None = "wall") -> None:
    """Adds how often arms take turns and by which clock, and all that `add_device` adds."""
    parser.add_argument("--rounds", type=int, default=rounds, help="0 counts only")
    parser.add_argument("--threads", type=int, default=threads)
    if clock:
        parser.add_argument("--clock", choices=CLOCKS, default=clock)
    add_device(parser)


def in_turns(arms: Sequence[str], rounds: int, take: Callable[[str, int], float]) -> dict[str, list[float]]:
    """Has every arm take each round, in an order that turns around; returns and prints what each round took."""
    seconds: dict[str, list[float]] = {arm: [] for arm in arms}
    for number in range(rounds):
        for arm in arms if number % 2 else reversed(arms):
            seconds[arm].append(take(arm, number))
        print(f"round {number}: " + ", ".join(f"{arm} {each[-1]:.2f} s" for arm, each in seconds.items()), flush=True)
    return seconds


def told_ratio(arm: str, ours: Sequence[float], theirs: Sequence[float]) -> dict[str, Any]:
    """Prints and returns the median seconds of an arm and the ratios to another one's."""
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    seconds = statistics.median(ours)
    print(f"{arm:11s} {seconds:7.3f} s, ratio {middle:.3f} (quartiles {low:.3f}-{high:.3f})", flush=True)
    return {"median_seconds": seconds, "median_ratio": middle, "ratio_quartiles": [low, high], "seconds": list(ours)}


def told_costs(costs: Mapping[str, Cost], base: Callable[[str], str]) -> dict[str, dict[str, Any]]:
    """Prints and returns what was counted of each arm, over the arm that it is held against."""
    found = {}
    for arm, cost in costs.items():
        other = costs[base(arm)]
        found[arm] = asdict(cost) | {
            "flops_ratio": cost.flops / other.flops,
            "peak_ratio": cost.peak_bytes / other.peak_bytes,
        }
        print(
            f"{arm:11s} {cost.flops:.3e} FLOPs ({found[arm]['flops_ratio']:.3f}), {cost.tokens:,} tokens, "
            f"{cost.peak_bytes / 1e9:.3f} GB ({found[arm]['peak_ratio']:.3f})",
            flush=True,
        )
    return found


def model_of(arguments: argparse.Namespace, vocabulary: int = 0) -> str:
    """Returns the folder of a model, and makes that of a random one."""
    name = arguments.model
    return random_model(tempfile.mkdtemp(), name, vocabulary) if name in NAMES else str(name)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device` and `--dtype`."""
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights")


def on_device(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the settings of a trainer that computes there and leaves nothing behind."""
    where = {"use_cpu": arguments.device == "cpu", "bf16": arguments.dtype == "bfloat16"}
    return where | {"output_dir": tempfile.mkdtemp(), "report_to": "none", "save_strategy": "no", "disable_tqdm": True}


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

"""One optimizer step of a recipe, taken on a copy by `align train` in a process of its own, and measured."""

import atexit
import json
import math
import os
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from align.console import say
from align.evaluation.statistics.metrics import Estimate
from align.rehearsal.record import Check, Rehearsed

# Of a run that is to leave nothing behind.
_ONE_STEP = {
    "max_steps": 1, "save_strategy": "no", "eval_strategy": "no", "logging_steps": 1, "report_to": "none",
    "push_to_hub": False, "load_best_model_at_end": False,
}  # fmt: skip
# What a launch leaves in a process, as a colocated vLLM does: the step is one process of its own.
_OF_A_LAUNCH = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_LAST_WORDS = 400  # characters of what a step that failed had said


def take_one_step(found: Rehearsed, recipe: str, overrides: Sequence[str], settings: Mapping[str, Any]) -> None:
    """Takes one step with the optimizer of the recipe in a temporary folder, and adds its time and peak memory.

    It loads the model anew and writes nothing into the recipe's folders, so that no weight of the user's changes. A
    step that fails is a finding.
    """
    import resource  # which not every system has

    say("Taking one optimizer step on a copy.")
    with tempfile.TemporaryDirectory(prefix="align-one-step-") as folder:
        given = {**settings, **_ONE_STEP, "output_dir": str(Path(folder) / "run")}
        words = [each for key, value in given.items() for each in (f"--{key}", json.dumps(value, default=str))]
        device = Path(folder) / "device.json"
        command = [sys.executable, "-m", __name__, str(device), "train", recipe, *overrides, *words]
        alone = {name: value for name, value in os.environ.items() if name not in _OF_A_LAUNCH}
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, env=alone)
        log = Path(folder) / "run" / "metrics.jsonl"
        lines = [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.is_file() else []
        of_gpu = json.loads(device.read_text("utf-8")) if device.is_file() else None
    told = {name: value for line in lines for name, value in line.items()}
    seconds = told.get("step_time", told.get("train_runtime"))
    if done.returncode or seconds is None:
        said = " ".join((done.stderr or done.stdout).split())[-_LAST_WORDS:]
        ended = "was killed, as where memory runs out" if done.returncode < 0 else "failed"
        text = f"The first optimizer step {ended}: {said} `align train {recipe}` would end there, too."
        found.find("error", "one step", text)
        return
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 2**30
    measured = {"seconds of one whole step": float(seconds), "GiB of memory at its peak": peak}
    if of_gpu is not None:
        measured["GiB of GPU memory at its peak"] = of_gpu / 2**30
    for name, value in measured.items():
        check = Check("one step", name.replace(" ", "_"), name, unit="step", is_share=False)
        found.take(check, Estimate(value, math.nan, math.nan, 1))


def _write_device_memory(out: Path) -> None:
    """Writes the most bytes that torch held of a GPU, if there is one; vLLM keeps its own beside."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        out.write_text(json.dumps(torch.cuda.max_memory_reserved()), "utf-8")


if __name__ == "__main__":  # `align`, whose first argument is the file for what it took
    atexit.register(_write_device_memory, Path(sys.argv.pop(1)))
    runpy.run_module("align", run_name="__main__")

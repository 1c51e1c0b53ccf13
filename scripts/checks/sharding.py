"""Whether recipes train under ZeRO as they do in one process: every step's loss, and the model that is saved.

    python -m scripts.checks.sharding --stages 2 3 --device cuda --json sharding.json

The quickstart recipes of RRPO and ACRE take three steps each under `ds_configs/zeroN.yaml` on as many GPUs
as there are (`zeroN_cpu.yaml` and two processes on CPUs), by NCCL (gloo). `loss` is the largest relative difference of
a loss to that of one process on the same rows, over the methods that sample nothing; `steps` counts the steps of
both whose gradient is finite and not 0; `saved` how many models load again with the weights of all layers. On GPUs
ZeRO rounds the weights themselves to bfloat16 and one process does not, which tells losses apart by some thousandths.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.harness import Options, write_numbers

ROOT = Path(__file__).resolve().parents[2]
STEPS, ROWS = 3, 16  # rows of a step, over all processes
METHODS = ("rrpo", "acre")
SAMPLES_NOTHING = METHODS[:1]


def words_of(method: str, folder: Path, processes: int, device: str) -> list[str]:
    """Returns the words of `align train`."""
    given = {
        "output_dir": folder / method, "max_steps": STEPS, "per_device_train_batch_size": ROWS // processes,
        "logging_steps": 1, "eval_strategy": "no", "save_strategy": "no",
        "use_cpu": str(device == "cpu").lower(), "bf16": str(device == "cuda").lower(),
    }  # fmt: skip
    return [f"{method}/quickstart", *(word for key, value in given.items() for word in (f"--{key}", str(value)))]


def train(method: str, folder: Path, processes: int, device: str) -> None:
    """Trains a method in this process; a launcher starts several. One launch trains one: a second one would wait."""
    from align.services.train import run

    name, *overrides = words_of(method, folder, processes, device)
    run(name, overrides, None)


def start(method: str, folder: Path, processes: int, device: str, stage: int = 0) -> subprocess.Popen[bytes]:
    """Starts the processes, those of a stage by accelerate."""
    launcher: list[str] = []
    if stage:
        config = ROOT / f"ds_configs/zero{stage}{'_cpu' if device == 'cpu' else ''}.yaml"
        launcher = ["-m", "accelerate.commands.launch", "--num_processes", str(processes)]
        launcher += ["--main_process_port", "0", "--config_file", str(config)]
    words = [__file__, "--inside", str(folder), "--method", method, "--processes", str(processes), "--device", device]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if device == "cuda" and not stage:  # a trainer of one process would spread over all it sees
        environment["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    folder.mkdir(exist_ok=True)
    with log_of(folder / method).open("w") as log:
        return subprocess.Popen([sys.executable, *launcher, *words], env=environment, stdout=log, stderr=log)


def log_of(folder: Path) -> Path:
    """Names the file for what processes print."""
    return folder.with_suffix(".log")


def finish(process: subprocess.Popen[bytes], log: Path) -> None:
    """Waits for the end, and shows what was said if it is a bad one."""
    if process.wait():
        said = log.read_text(encoding="utf-8", errors="replace")[-6000:]
        raise SystemExit(f"{said}\n{log.stem} ended with exit code {process.returncode}.")


def steps_of(folder: Path, method: str) -> list[dict[str, Any]]:
    """Reads the steps of a run."""
    lines = (folder / method / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [step for step in map(json.loads, lines) if "grad_norm" in step]


def is_whole(folder: Path) -> bool:
    """Tells whether a saved model has every weight, and none that is empty, as a shard's would be."""
    from safetensors import safe_open
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    config = AutoConfig.from_pretrained(folder)
    scores = "SequenceClassification" in (config.architectures or [""])[0]
    model = (AutoModelForSequenceClassification if scores else AutoModelForCausalLM).from_config(config)
    with safe_open(folder / "model.safetensors", "pt") as file:
        saved = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    needed = {name: tuple(weight.shape) for name, weight in model.named_parameters()}
    return all(saved.get(name) == shape for name, shape in needed.items())


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Trains in one process, then under one stage after the other; the methods at the same time."""
    folder, processes = Path(tempfile.mkdtemp()), arguments.processes
    found: dict[str, Any] = {}
    started = [("one", 1, 0), *((str(stage), processes, stage) for stage in arguments.stages)]
    for name, count, stage in started:
        runs = [(each, start(each, folder / name, count, arguments.device, stage)) for each in METHODS]
        try:
            for method, run in runs:
                finish(run, log_of(folder / name / method))
        finally:
            for _, run in runs:
                run.terminate()  # after which a launcher ends its processes; a kill would leave them
    for stage in arguments.stages:
        found[f"zero{stage}"] = now = {"steps": 0, "saved": 0, "loss": 0.0}
        for method in METHODS:
            steps = steps_of(folder / str(stage), method)
            now["steps"] += sum(math.isfinite(step["grad_norm"]) and step["grad_norm"] > 0 for step in steps)
            now["saved"] += is_whole(folder / str(stage) / method)
            for step, other in zip(steps, steps_of(folder / "one", method), strict=True):
                if method in SAMPLES_NOTHING:
                    now["loss"] = max(now["loss"], abs(step["loss"] - other["loss"]) / abs(other["loss"]))
    return found | {"processes": processes}


def main(argv: list[str] | None = None) -> None:
    """Runs the comparison, or one process of it."""
    parser = Options(__doc__)
    parser.add_argument("--stages", type=int, nargs="+", choices=(2, 3), default=[2, 3])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--processes", type=int, help="all GPUs, or two on a CPU")
    parser.add_numbers()
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--method", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.processes is None:
        import torch

        arguments.processes = min(torch.cuda.device_count(), ROWS) if arguments.device == "cuda" else 2
    if arguments.inside:
        train(arguments.method, arguments.inside, arguments.processes, arguments.device)
        return
    found = compare(arguments)
    for name in (f"zero{stage}" for stage in arguments.stages):
        each = found[name]
        print(
            f"{name}, {found['processes']} processes: {each['steps']} of {STEPS * len(METHODS)} steps with a "
            f"gradient, loss {each['loss']:.5f} apart, {each['saved']} of {len(METHODS)} models saved whole"
        )
    write_numbers(arguments.json, found)


if __name__ == "__main__":
    main()

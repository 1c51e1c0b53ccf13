"""Whether recipes train under ZeRO as they do in one process: every step's loss, and the model that is saved.

    python scripts/check_sharding.py --stage 3 --device cuda --json sharding.json

The quickstart recipes of RRPO, Crome, SFT and ACRE take three steps each under `ds_configs/zeroN.yaml` on as many GPUs
as there are (`zeroN_cpu.yaml` and two processes on CPUs), by NCCL (gloo). `loss` is the largest relative difference of
a loss to that of one process on the same rows, over the methods that sample nothing; `steps` counts the steps of all
four whose gradient is finite and not 0; `saved` how many models load again with the weights of all layers.
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

ROOT = Path(__file__).resolve().parents[1]
STEPS, ROWS = 3, 16  # rows of a step, over all processes
METHODS = ("rrpo", "crome", "sft", "acre")
SAMPLES_NOTHING = METHODS[:3]


def words_of(method: str, folder: Path, processes: int, device: str) -> list[str]:
    """Returns the words of `align train`."""
    given = {
        "output_dir": folder / method, "max_steps": STEPS, "per_device_train_batch_size": ROWS // processes,
        "logging_steps": 1, "eval_strategy": "no", "save_strategy": "no",
        "use_cpu": str(device == "cpu").lower(), "bf16": str(device == "cuda").lower(),
    }  # fmt: skip
    return [f"{method}/quickstart", *(word for key, value in given.items() for word in (f"--{key}", str(value)))]


def train_all(folder: Path, processes: int, device: str) -> None:
    """Trains every method in this process, which imports torch and TRL once; a launcher starts several."""
    from accelerate.state import AcceleratorState
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    from align.cli.train import run

    for method in METHODS:
        AcceleratorState._reset_state(reset_partial_state=True)
        unset_hf_deepspeed_config()  # while it lives, ZeRO-3 splits what is built
        name, *overrides = words_of(method, folder, processes, device)
        run(name, overrides, None)


def start(folder: Path, processes: int, device: str, launcher: list[str]) -> subprocess.CompletedProcess[str]:
    """Starts the processes and waits for them."""
    words = [__file__, "--inside", str(folder), "--processes", str(processes), "--device", device]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *launcher, *words], env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-2000:] + done.stderr[-6000:])
        raise SystemExit(f"{' '.join(launcher) or 'One process'} ended with exit code {done.returncode}.")
    return done


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
    """Trains in both ways."""
    folder, processes = Path(tempfile.mkdtemp()), arguments.processes
    config = f"zero{arguments.stage}" + ("_cpu" if arguments.device == "cpu" else "")
    launcher = ["-m", "accelerate.commands.accelerate_cli", "launch", "--num_processes", str(processes)]
    launcher += ["--main_process_port", "0", "--config_file", str(ROOT / f"ds_configs/{config}.yaml")]
    start(folder / "one", 1, arguments.device, [])
    start(folder / "zero", processes, arguments.device, launcher)
    found: dict[str, Any] = {"processes": processes, "stage": arguments.stage, "steps": 0, "saved": 0, "loss": 0.0}
    for method in METHODS:
        steps = steps_of(folder / "zero", method)
        found["steps"] += sum(math.isfinite(step["grad_norm"]) and step["grad_norm"] > 0 for step in steps)
        found["saved"] += is_whole(folder / "zero" / method)
        for ours, right in zip(steps, steps_of(folder / "one", method), strict=True):
            if method in SAMPLES_NOTHING:
                found["loss"] = max(found["loss"], abs(ours["loss"] - right["loss"]) / abs(right["loss"]))
    return found


def main(argv: list[str] | None = None) -> None:
    """Runs the comparison, or one process of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", type=int, choices=(2, 3), default=3)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--processes", type=int, help="all GPUs, or two on a CPU")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    if arguments.processes is None:
        import torch

        arguments.processes = min(torch.cuda.device_count(), ROWS) if arguments.device == "cuda" else 2
    if arguments.inside:
        train_all(arguments.inside, arguments.processes, arguments.device)
        return
    found = compare(arguments)
    print(
        f"ZeRO-{found['stage']}, {found['processes']} processes: {found['steps']} of {STEPS * len(METHODS)} steps "
        f"with a gradient, loss {found['loss']:.5f} apart, {found['saved']} of {len(METHODS)} models saved whole"
    )
    if arguments.json:
        from align.versions import installed_versions

        arguments.json.write_text(json.dumps(installed_versions() | found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

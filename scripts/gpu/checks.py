"""Runs on a GPU, in at most nine minutes, what was never run on one; `checks.sh` makes the environment.

    bash scripts/gpu/checks.sh                            # all that this GPU can; keeps scripts/gpu/checks.json
    bash scripts/gpu/checks.sh --only rrpo colocate       # some, beside what the file holds of this machine
    bash scripts/gpu/checks.sh --device cpu --tiny        # that the checks themselves work, without a GPU
    bash scripts/gpu/checks.sh --list                     # every number, its bar, and what a GPU said

Every check is a process of its own with a time limit: a part of the budget, and what earlier checks left of theirs.
What fails says why and where its output is; what cannot run here, or is not reached, is a line of its own. The file is
written after each check, so that a run that is killed keeps what it had. Exit code 1 if a check failed.
"""

import argparse
import importlib.util
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.checks.devices import check_devices
from scripts.gpu.process import start
from scripts.gpu.record import (
    FROM_A_GPU,
    NOT_YET,
    ROOT,
    as_markdown,
    commit,
    joined,
    listed,
    new_record,
    read,
    value_of,
    write,
)
from scripts.gpu.table import CHECKS, Check
from scripts.harness import Options

BUDGET, ON_A_CPU = 540, 10  # seconds; times as long on a CPU
INSTALLS = {"vllm": "truealign[vllm]", "deepspeed": "truealign[deepspeed]", "bitsandbytes": "truealign[qlora]"}
TAIL = 15  # lines of a failed check's output
Result = dict[str, Any]


def why_not(check: Check, gpus: int, tiny: bool) -> str | None:
    """Says what a check lacks here."""
    if gpus < check.gpus:
        return f"needs {check.gpus} GPUs, and there {'is' if gpus == 1 else 'are'} {gpus}"
    absent = [name for name in check.packages if importlib.util.find_spec(name) is None]
    names = " ".join(f'"{INSTALLS.get(name, "truealign[vision]")}"' for name in absent[:1])
    if absent:
        return f"needs {', '.join(absent)}: pip install {names}"
    folders = [] if tiny else [name for name in check.folders if not (ROOT / name).is_dir()]
    return f"needs {folders[0]}: python -m scripts.models.smollm2 --out {folders[0]}" if folders else None


def command(check: Check, device: str, tiny: bool, out: Path) -> list[str]:
    """Returns the words that start a check."""
    words = (check.tiny if tiny else check.words).format(out=out / "run").split()
    words += ["--device", device] if "device" in check.takes else []
    words += ["--dtype", "bfloat16"] if "dtype" in check.takes and device == "cuda" else []
    return [sys.executable, *words, "--json", str(out / "numbers.json")]


def environment(check: Check) -> dict[str, str]:
    """Returns the variables of a check, which sees one GPU if it does not ask for all."""
    given = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    given.setdefault("VLLM_HOST_IP", "127.0.0.1")  # vLLM would look for the way to 8.8.8.8
    if not check.all_gpus:  # a trainer of one process would spread over all it sees
        given["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0]
    return given


def run(check: Check, device: str, tiny: bool, seconds: float, out: Path) -> Result:
    """Runs a check and holds its numbers to their bars."""
    began, log = time.monotonic(), out / "output.log"
    code = start(command(check, device, tiny, out), log, seconds, environment(check))
    result: Result = {"status": "failed", "seconds": round(time.monotonic() - began, 1), "values": {}}
    text = log.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads((out / "numbers.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        found = None
    values = {bar.name: value_of(found or {}, bar) for bar in check.bars if device == "cuda" or not bar.gpu}
    result["values"] = {name: value for name, value in values.items() if value is not None}
    if code or found is None:
        ended = f"was ended after {seconds:.0f} s" if code in (124, 137) else f"ended with exit code {code}"
        said = f"{ended} and left {'no numbers' if found is None else 'these numbers'}"
        return result | {"why": f"{said}; {log}", "output": text.splitlines()[-TAIL:]}
    missed = [
        bar.name
        for bar in check.bars
        if bar.name in result["values"] and not bar.holds(values[bar.name]) and (bar.tiny or not tiny)
    ]
    absent = [name for name in values if name not in result["values"]]
    whys = [f"{', '.join(names)} {what}" for names, what in ((absent, "not measured"), (missed, "missed")) if names]
    return result | ({"why": "; ".join(whys)} if whys else {"status": "passed"})


def show(check: Check, result: Result, tiny: bool) -> None:
    """Prints a check and its numbers."""
    seconds = f"{result['seconds']:6.1f} s" if "seconds" in result else " " * 8
    print(f"{check.name:16s} {result['status']:8s} {seconds}  {result.get('why', check.claim)}")
    for bar in check.bars:
        value = result.get("values", {}).get(bar.name)
        if value is not None:
            judged = bar.tiny or not tiny
            verdict = "" if judged and bar.holds(value) else "  MISSED" if judged else "  (not judged when tiny)"
            print(f"{'':16s} {bar.name:34s} {value:10.4g}  {bar}{verdict}")
    for line in result.get("output", ()):
        print(f"{'':16s} | {line}")
    sys.stdout.flush()


def run_all(
    checks: Sequence[Check], record: dict[str, Any], path: Path | None, budget: float, gpus: int
) -> dict[str, Result]:
    """Runs checks one after the other within the budget, and writes the file after each."""
    device, tiny = record["device"], record["tiny"]
    slack, began = 1 if device == "cuda" else ON_A_CPU, time.monotonic()
    lacks = {check.name: why_not(check, gpus, tiny) for check in checks}
    left = sum(slack * check.seconds for check in checks if lacks[check.name] is None)  # what the others may take
    results: dict[str, Result] = {}
    logs = Path(tempfile.mkdtemp(prefix="gpu_checks-"))
    for check in checks:
        remaining, own = budget - (time.monotonic() - began), slack * check.seconds
        if lacks[check.name] is not None:
            result: Result = {"status": "not run", "why": lacks[check.name]}
        else:
            left -= own
            if remaining < own:
                reach = f"the budget of {budget:.0f} s does not reach it: {max(remaining, 0):.0f} s are left of {own}"
                result = {"status": "not run", "why": reach}
            else:
                out = logs / check.name
                out.mkdir()
                result = run(check, device, tiny, max(own, remaining - left), out)
        result |= {"commit": commit(), "finished": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())}
        results[check.name] = result
        show(check, result, tiny)
        if result["status"] != "not run" or check.name not in record["results"]:
            record["results"][check.name] = result
        write(record, path)
    return results


def usable_gpus() -> int:
    """Counts the GPUs that torch can use.

    Raises:
        ValueError: If there is none; with what is wrong, and the line that helps.
    """
    devices = [finding for finding in check_devices() if finding.check == "devices"]
    uses = [each for each in devices if each.level == "ok" and each.numbers.get("gpus")]
    for finding in devices:
        if finding.level != "ok" and uses:
            print(f"{finding.text} {finding.fix}", file=sys.stderr)
    if not uses:
        named = [f"{each.text} {each.fix}" for each in devices if each.level != "ok"] or [
            "There is no NVIDIA GPU here."
        ]
        raise ValueError(
            f"`--device cuda` needs a GPU that torch can use. {' '.join(named)}\n"
            "Without one, `--device cpu --tiny` tries the checks themselves, and `--list` says what they are."
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return len(visible.split(",")) if visible else len(uses[0].numbers["gpus"])


def parse(argv: list[str] | None) -> argparse.Namespace:
    """Reads the command line."""
    names = [check.name for check in CHECKS]
    parser = Options(__doc__)
    parser.add_argument("--json", type=Path, help=f"default on a GPU: {FROM_A_GPU.relative_to(ROOT)}")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes; ratios are not judged")
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="CHECK", help=", ".join(names))
    parser.add_argument("--budget", type=float, help=f"seconds for all; {BUDGET} on a GPU")
    parser.add_argument("--list", action="store_true", help="run nothing")
    parser.add_argument("--markdown", action="store_true", help="with --list: the table of the page")
    arguments = parser.parse_args(argv)
    if arguments.budget is not None and arguments.budget <= 0:
        parser.error(f"argument --budget: must be above 0 seconds, got {arguments.budget:g}")
    return arguments


def show_list(arguments: argparse.Namespace) -> int:
    """Prints every number with its bar, and what a GPU said."""
    try:
        record = read(arguments.json or FROM_A_GPU)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    if arguments.markdown:
        print(as_markdown(record), end="")
        return 0
    for check, name, bar, said in listed(record):
        if check.name in arguments.only:
            print(f"{check.name:16s} {name:34s} {bar:10s} {said}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """Runs the checks, or lists them."""
    arguments = parse(argv)
    if arguments.list:
        return show_list(arguments)
    path = arguments.json or (FROM_A_GPU if arguments.device == "cuda" and not arguments.tiny else None)
    path = path and path.absolute()
    try:
        gpus = usable_gpus() if arguments.device == "cuda" else 0
        record = new_record(arguments.device, arguments.tiny)
        record = joined(record, path) if path else record
        write(record, path)
    except (OSError, ValueError) as error:
        print(
            error if isinstance(error, ValueError) else f"{path} cannot be written: {error.strerror}.", file=sys.stderr
        )
        return 1
    checks = [check for check in CHECKS if check.name in arguments.only]
    budget = arguments.budget or (BUDGET if arguments.device == "cuda" else ON_A_CPU * BUDGET)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        results = run_all(checks, record, path, budget, gpus)
    except OSError as error:
        print(f"Stopped: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"Stopped. {'What was done is in ' + str(path) if path else 'Nothing is kept without --json'}.",
            file=sys.stderr,
        )
        return 130
    states = [result["status"] for result in results.values()]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("passed", "failed", "not run"))
    print(
        f"{counts}." + (f" {path}" if path else "") + ("" if arguments.device == "cuda" else f" On a GPU: {NOT_YET}.")
    )
    return int("failed" in states)


if __name__ == "__main__":
    sys.exit(main())

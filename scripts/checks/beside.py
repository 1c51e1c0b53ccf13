"""Whether TrueAlign installs beside other trainers: what pip would install of both together, newest versions first.

    python -m scripts.checks.beside
    python -m scripts.checks.beside --size eval --stacks unsloth verl

Nothing is installed. Pip reads the metadata of the index; for a few packages it fetches the whole wheel. Packages that
tell their metadata only where torch and CUDA are installed are left out of a stack, and named.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from scripts.harness import Options, write_numbers

STACKS = ("unsloth", "axolotl", "ms-swift", "verl", "openrlhf")
UNREADABLE = ("flash-attn", "flash_attn", "mamba-ssm", "causal-conv1d")
SHOWN = ("torch", "transformers", "trl", "datasets", "pydantic", "typer", "numpy", "pandas")
ROOT = Path(__file__).resolve().parents[2]


def ask_pip(*words: str, seconds: int) -> list[dict[str, Any]]:
    """Asks pip what it would install, and returns the metadata of each package.

    Raises:
        ValueError: If it cannot tell; in its own words.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", *options, *words],
                capture_output=True, text=True, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ValueError(f"no answer in {seconds} s") from error
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise ValueError(" ".join(errors or done.stderr.splitlines()[-2:]))
        return [each["metadata"] for each in json.loads(report.read_text())["install"]]


def resolve(stack: str, size: str, seconds: int) -> dict[str, Any]:
    """Asks for the newest version of a stack, without what pip cannot read, and for ours beside it."""
    ours = f"{ROOT}[{size}]" if size else str(ROOT)
    try:
        (newest,) = ask_pip("--no-deps", stack, seconds=seconds)
        wanted = [Requirement(line) for line in newest.get("requires_dist", [])]
        wanted = [each for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
        left_out = [str(each) for each in wanted if each.name in UNREADABLE]
        asked = [f"{each.name}{extras_of(each)}{each.specifier}" for each in wanted if each.name not in UNREADABLE]
        chosen = ask_pip(*asked, ours, seconds=seconds)
    except ValueError as error:
        return {"resolves": False, "said": str(error)}
    versions = {each["name"].lower(): each["version"] for each in chosen}
    shown = {stack: newest["version"]} | {name: versions[name] for name in SHOWN if name in versions}
    return {"resolves": True, "packages": len(versions), "versions": shown, "left_out": left_out}


def extras_of(requirement: Requirement) -> str:
    """Writes the extras of a requirement as pip reads them."""
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""


def main() -> int:
    """Asks for each stack, prints what it was told, and returns 1 if one does not resolve."""
    parser = Options(__doc__)
    parser.add_argument("--stacks", nargs="+", default=STACKS)
    parser.add_argument(
        "--size", choices=("", "eval", "train"), default="", help="of TrueAlign; the base if not given"
    )
    parser.add_argument("--timeout", type=int, default=900, help="seconds for one stack")
    parser.add_numbers()
    arguments = parser.parse_args()
    found = {}
    for stack in arguments.stacks:
        found[stack] = resolve(stack, arguments.size, arguments.timeout)
        told = found[stack].get("versions") or found[stack]["said"]
        print(f"{stack}: {'resolves' if found[stack]['resolves'] else 'does not resolve'}, {told}", flush=True)
    write_numbers(arguments.json, {"size": arguments.size, "stacks": found})
    return int(not all(each["resolves"] for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())

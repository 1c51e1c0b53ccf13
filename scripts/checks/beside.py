"""Whether TrueAlign installs beside other trainers: what pip would install of both together, newest versions first.

    python -m scripts.checks.beside
    python -m scripts.checks.beside --size eval --stacks unsloth verl

Nothing is installed. Pip reads the metadata of the index; for a few packages it fetches the whole wheel.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.harness import Options, write_numbers

STACKS = ("unsloth", "axolotl", "ms-swift", "verl", "openrlhf")
SHOWN = ("torch", "transformers", "trl", "datasets", "pydantic", "typer", "numpy", "pandas")
ROOT = Path(__file__).resolve().parents[2]


def resolve(stack: str, size: str, seconds: int) -> dict[str, object]:
    """Asks pip for both, and returns the versions that it would install, or what it says."""
    ours = f"{ROOT}[{size}]" if size else str(ROOT)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        words = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report), stack, ours]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", *words], capture_output=True, text=True, timeout=seconds
            )
        except subprocess.TimeoutExpired:
            return {"resolves": False, "said": f"no answer in {seconds} s"}
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            return {"resolves": False, "said": " ".join(errors or done.stderr.splitlines()[-2:])}
        chosen = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    versions = {each["name"].lower(): each["version"] for each in chosen}
    return {"resolves": True, "packages": len(versions), "versions": {n: versions.get(n) for n in (stack, *SHOWN)}}


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

"""What a run of `checks.sh` leaves: on which machine, of which commit, and every check's numbers."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from align.checks.devices import list_gpus, torch_build
from align.versions import installed_versions
from scripts.gpu.table import CHECKS, Bar, Check

ROOT = Path(__file__).resolve().parents[2]
FROM_A_GPU = ROOT / "scripts" / "gpu" / "checks.json"
NOT_YET = "not run on a GPU yet"
SAME = ("device", "tiny", "gpus")  # of two runs whose results may stand in one file


def new_record(device: str, tiny: bool) -> dict[str, Any]:
    """Says what is known before anything runs; no torch is imported."""
    gpus = [f"{name} ({gib:.0f} GiB)" for name, gib, _ in list_gpus()] if device == "cuda" else []
    about = {"device": device, "tiny": tiny, "gpus": gpus, "driver": _driver() if gpus else None}
    return about | {"torch_cuda": torch_build(), "versions": installed_versions(), "commit": commit(), "results": {}}


def commit() -> str | None:
    """Names what was checked out, and whether it was changed; None without git."""
    words = ["git", "-C", str(ROOT)]
    try:
        head = subprocess.run([*words, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*words, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + (" (changed)" if changed.strip() else "")


def read(path: Path) -> dict[str, Any] | None:
    """Reads a record; None where there is no file.

    Raises:
        ValueError: If it is something else.
    """
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(record["results"], dict) and all(name in record for name in SAME):
            return dict(record)
    except (ValueError, LookupError, TypeError, OSError):
        pass
    raise ValueError(f"{path} is there and holds no results of this script. Name another file with --json.")


def joined(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """Takes over the results of other checks that a file holds.

    Raises:
        ValueError: If they are of another machine or size: they would be lost.
    """
    old = read(path)
    if old is None:
        return record
    if any(old[name] != record[name] for name in SAME):
        raise ValueError(
            f"{path} holds results of {described(old)}, and this run is on {described(record)}. Name another file "
            "with --json."
        )
    return record | {"results": old["results"]}


def described(record: dict[str, Any]) -> str:
    """Names a machine in a few words."""
    return (", ".join(record["gpus"]) or record["device"].upper()) + (" with --tiny" if record["tiny"] else "")


def write(record: dict[str, Any], path: Path | None) -> None:
    """Writes a record at once, so that no kill leaves half of it."""
    if path is None:
        return
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def value_of(found: dict[str, Any], bar: Bar) -> float | None:
    """Reads a number by its path; `*` is the first key."""
    at: Any = found
    for key in bar.path.split("/"):
        if not isinstance(at, dict) or not at:
            return None
        at = at.get(next(iter(at)) if key == "*" else key)
    return float(at) if isinstance(at, int | float) else None


def listed(record: dict[str, Any] | None) -> list[tuple[Check, str, str, str]]:
    """Lists check, number, bar, and what a GPU said."""
    results = record["results"] if record and record["device"] == "cuda" and not record["tiny"] else {}
    rows = []
    for check in CHECKS:
        result = results.get(check.name, {})
        for bar in check.bars:
            value = result.get("values", {}).get(bar.name)
            said = NOT_YET if not result or result["status"] == "not run" else result["status"]
            if value is not None:
                said = f"{value:.4g}" + ("" if bar.holds(value) else ", missed")
            rows.append((check, bar.name, str(bar), said))
    return rows


def as_markdown(record: dict[str, Any] | None) -> str:
    """Writes the table of the page."""
    rows: dict[str, list[str]] = {}
    for check, name, bar, said in listed(record):
        rows.setdefault(check.name, []).append(f"{name} {bar}" + ("" if said == NOT_YET else f": {said}"))
    results = record["results"] if record else {}
    lines = ["| `--only` | what, and the bars of its numbers | on a GPU |", "|---|---|---|"]
    for check in CHECKS:
        result = results.get(check.name, {"status": "not run"})
        said = NOT_YET if result["status"] == "not run" else f"{result['status']} on {described(record or {})}"
        lines.append(f"| `{check.name}` | {check.claim}: {'; '.join(rows[check.name])} | {said} |")
    return "\n".join(lines) + "\n"


def _driver() -> str | None:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        lines = subprocess.run(query, capture_output=True, text=True, timeout=60).stdout.splitlines()
    except (OSError, subprocess.TimeoutExpired):
        return None
    return lines[0].strip() if lines else None

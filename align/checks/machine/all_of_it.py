"""All checks of an installation and a machine, in the order in which a user would mend them."""

from collections.abc import Callable
from pathlib import Path

from align.checks.finding import Finding
from align.checks.machine.devices import check_devices
from align.checks.machine.folders import check_folders
from align.checks.machine.packages import check_engines, check_packages
from align.checks.machine.ports import check_ports
from rewards.extras import too_small


def check_machine(output_dir: Path) -> list[Finding]:
    """Checks packages, devices, memory, engines, folders and ports; nothing heavy is imported and nothing is left."""
    devices = _looked_at("devices", check_devices)
    has_gpu = any(finding.numbers.get("gpus") for finding in devices)
    return [
        *check_packages(),
        *devices,
        *check_engines(has_gpu=has_gpu),
        *check_folders(output_dir),
        *_looked_at("ports", check_ports),
    ]


def _looked_at(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Makes a check, or says that it needs a package which is missing, as in what users ask about."""
    try:
        return check()
    except ImportError as error:
        if sentence := too_small(f"A look at {name}", error):
            return [Finding("ok", name, f"Not looked at. {sentence}")]
        return [Finding("warning", name, f"Not looked at, since a package is missing: {error}")]

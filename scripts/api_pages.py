"""Builds pages of the Python API from docstrings, offline.

    python scripts/api_pages.py              # outputs/api/index.html; needs the extra `docs`

The public surface is what `align.__all__` and `rewards.__all__` name, and the modules in MODULES, which pages of the
repository point to. A public name without a docstring, or a warning of pdoc, ends with exit code 1.
"""

import inspect
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType

from scripts.harness import Options

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import pdoc

import align
import rewards

PACKAGES = (align, rewards)
MODULES = ("align.models.reward_model", "align.evaluation.statistics.metrics")


def resolve(package: ModuleType) -> None:
    """Imports the names that a package would import when they are first used; pdoc sees only what is there."""
    for name in package.__all__:
        setattr(package, name, getattr(package, name))


def without_docstring(package: ModuleType) -> list[str]:
    """Lists public classes and functions, and the public methods that classes write themselves, that say nothing."""
    found = []
    for name in package.__all__:
        value = getattr(package, name)
        if not inspect.isroutine(value) and not inspect.isclass(value):
            continue  # a constant, or a reward that is an instance of a documented class
        own = vars(value).items() if inspect.isclass(value) else ()
        parts = [(name, value), *((f"{name}.{each}", part) for each, part in own if inspect.isfunction(part))]
        found += [
            f"{package.__name__}.{path}"
            for path, part in parts
            if not path.rpartition(".")[2].startswith("_") and not inspect.getdoc(part)
        ]
    return found


def main(argv: list[str] | None = None) -> int:
    """Builds the pages, and returns 1 where something is missing."""
    parser = Options(__doc__)
    parser.add_argument("--out", type=Path, default=Path("outputs/api"))
    arguments = parser.parse_args(argv)
    for package in PACKAGES:
        resolve(package)
    problems = [f"{name} has no docstring" for package in PACKAGES for name in without_docstring(package)]
    pdoc.render.configure(docformat="google", footer_text=f"TrueAlign {align_version()}")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", UserWarning)
        pdoc.pdoc(*(package.__name__ for package in PACKAGES), *MODULES, output_directory=arguments.out)
    problems += [str(each.message) for each in told if issubclass(each.category, UserWarning)]
    for each in problems:
        print(f"error: {each}", file=sys.stderr)
    print(f"The pages are {arguments.out / 'index.html'}.")
    return int(bool(problems))


def align_version() -> str:
    """Returns the installed version."""
    from align.versions import installed_version

    return installed_version("truealign") or ""


if __name__ == "__main__":
    sys.exit(main())

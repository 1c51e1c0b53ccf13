"""An environment as it is after `pip install "truealign[...]"`: every other installed package is out of sight."""

import os
import tomllib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - {"test", "lint", "docs", "dev"})

# Python runs a module of this name first, also in every process that a command starts.
SITE = """
import re
import sys
from importlib.machinery import PathFinder

MODULES, PACKAGES = {modules!r}, {packages!r}


class Installed(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in MODULES else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *arguments, **options):
        found = super().find_distributions(*arguments, **options)
        return (each for each in found if re.sub("[-_.]+", "-", each.name or "").lower() not in PACKAGES)


sys.meta_path[:] = [Installed if finder is PathFinder else finder for finder in sys.meta_path]
"""


def installed_with(folder: Path, *extras: str) -> dict[str, str]:
    """Writes a start-up module into a new folder, and returns the variables that put it and this checkout in force."""
    seen = distributions(extras)
    hidden = {
        module: names
        for module, names in packages_distributions().items()
        if not seen & {canonicalize_name(name) for name in names}
    }
    packages = {canonicalize_name(name) for names in hidden.values() for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(SITE.format(modules=set(hidden), packages=packages), encoding="utf-8")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@cache
def distributions(extras: tuple[str, ...]) -> frozenset[str]:
    """Lists the packages that an install with these extras brings, with those that they need, and TrueAlign itself."""
    found = {"truealign"}
    todo = [Requirement(line) for line in PROJECT["dependencies"]]
    todo += [Requirement(line) for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    known = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        if (name, *sorted(requirement.extras)) in known:
            continue
        known.add((name, *sorted(requirement.extras)))
        found.add(name)
        todo += _needed(name, requirement.extras)
    return frozenset(found)


def _needed(name: str, extras: Iterable[str]) -> list[Requirement]:
    try:
        lines = [Requirement(line) for line in requires(name) or []]
    except PackageNotFoundError:
        return []
    return [
        each
        for each in lines
        if each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
    ]

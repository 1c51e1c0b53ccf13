"""Checks of an installation: what is installed against the bounds in TrueAlign's own metadata."""

import platform
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from align.checks.finding import Finding, Level
from align.checks.trl_hooks import newer_trl
from align.versions import PACKAGES, installed_version
from rewards.extras import is_installed, missing, pip_line

_FOR_DEVELOPERS = {"test", "lint", "docs", "dev"}
_TELLS = {"eval": "torch", "train": "trl"}  # the package without which nobody has that size


def check_packages() -> list[Finding]:
    """Compares what is installed with the bounds in TrueAlign's own metadata, and the main packages with theirs."""
    try:
        ours = distribution("truealign")
    except PackageNotFoundError:
        text = "TrueAlign is imported from a folder that was never installed, so its bounds are not known."
        return [Finding("error", "packages", text, fix="pip install -e .")]
    python = check_python(SpecifierSet(ours.metadata["Requires-Python"] or ""))
    wanted, needed = _wanted(ours)
    extras = set(ours.metadata.get_all("Provides-Extra") or []) - _FOR_DEVELOPERS
    names = {each.name for each in needed} | {"truealign"}
    optional = [each for each in wanted if each.name not in names and any(_applies(each, extra) for extra in extras)]
    problems = [*_outside(needed, "error"), *_outside(optional, "warning"), *_contradictions(needed)]
    # What a larger size would add is no problem until it is asked for.
    lacking = filter(None, (missing("eval", "Asking models"), missing("train", "A recipe")))
    size = Finding("ok", "size", next(lacking, "All that a recipe needs is installed."))
    return [python, _list_versions([*needed, *optional]), size, *problems]


def outside_bounds(uses: Callable[[str], bool]) -> list[Finding]:
    """Finds packages that stop a run, which `uses` files of TRL; none where the bounds are not known."""
    try:
        return [*_outside(_wanted(distribution("truealign"))[1], "error", uses)]
    except PackageNotFoundError:
        return []


def _wanted(ours: Distribution) -> tuple[list[Requirement], list[Requirement]]:
    """Lists what TrueAlign asks for in any size, and what in the one that is installed."""
    wanted = [Requirement(line) for line in ours.requires or []]
    sizes = ("", *(size for size, module in _TELLS.items() if is_installed(module)))
    named = {each.name: each for size in sizes for each in wanted if _applies(each, size)}  # a larger size bounds more
    return wanted, [each for name, each in named.items() if name != "truealign"]


def _list_versions(wanted: list[Requirement]) -> Finding:
    bounds = {str(canonicalize_name(each.name)): window(each.specifier) for each in wanted}
    found = {name: version for name in {*PACKAGES, *bounds} if (version := installed_version(name))}
    words = {name: f"{name} {found[name]}" + (f" ({bounds[name]})" if bounds.get(name) else "") for name in found}
    numbers = {name: {"installed": found[name], "supported": bounds.get(name, "")} for name in sorted(found)}
    return Finding("ok", "packages", ", ".join(words[name] for name in PACKAGES if name in words) + ".", numbers)


def window(bounds: SpecifierSet) -> str:
    """Writes bounds from the lowest to the highest.

    Example:
        >>> window(SpecifierSet("<1.17,>=1.16"))
        '>=1.16,<1.17'
    """
    return ",".join(sorted(map(str, bounds), reverse=True))


def check_python(bounds: SpecifierSet) -> Finding:
    """Compares the running Python with the versions that TrueAlign supports."""
    running = platform.python_version()
    if bounds.contains(running, prereleases=True):
        return Finding("ok", "python", f"Python {running} ({window(bounds)}).")
    text = f"Python {running} is outside {window(bounds)}, for which packages exist. In a checkout, make another:"
    return Finding("error", "python", text, fix="python3.12 -m venv .venv && .venv/bin/pip install .")


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _outside(wanted: list[Requirement], level: Level, uses: Callable[[str], bool] = bool) -> Iterator[Finding]:
    """Finds packages outside their bounds; a missing one counts only where it is needed."""
    for requirement in wanted:
        installed, bounds = installed_version(requirement.name), window(requirement.specifier)
        line = f'pip install "{requirement.name}{bounds}"'
        if installed is None:
            if level == "error":
                yield Finding(level, "packages", f"{requirement.name} is not installed.", fix=line)
        elif requirement.specifier.contains(installed, prereleases=True):
            continue
        elif requirement.name == "trl" and (found := newer_trl(installed, line, uses)):
            yield found
        else:
            text = f"{requirement.name} {installed} is outside {bounds}, which TrueAlign supports."
            yield Finding(level, "packages", text, fix=line)


def _contradictions(needed: list[Requirement]) -> Iterator[Finding]:
    """Finds main packages that ask for another version of something; those that we need lack nothing."""
    names = {canonicalize_name(each.name) for each in needed}
    for name in PACKAGES[1:]:
        if installed_version(name) is None:
            continue
        for wanted in map(Requirement, distribution(name).requires or []):
            if not _applies(wanted, ""):
                continue
            installed, known_as = installed_version(wanted.name), canonicalize_name(wanted.name)
            if installed is None and name in names and known_as not in names:
                names.add(known_as)  # which others need, too
                text = f"{name} needs {wanted.name}, which is not installed."
                yield Finding("error", "packages", text, fix=pip_line("train"))  # within the bounds of all
            elif installed and not wanted.specifier.contains(installed, prereleases=True):
                asked = f"{wanted.name}{window(wanted.specifier)}"
                text = f"{name} {installed_version(name)} asks for {asked}, found {installed}."
                yield Finding("warning", "packages", text, fix=f'pip install "{asked}"')

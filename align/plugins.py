"""What installed packages add: methods, suites and adapters of data, each by an entry point of its own group."""

from collections.abc import Container
from importlib.metadata import entry_points
from typing import Any

from align.console import say

METHODS, SUITES, ADAPTERS = (f"truealign.{kind}" for kind in ("methods", "suites", "adapters"))
_told: set[str] = set()  # what was left out; once is enough


def names(group: str) -> set[str]:
    """Names what packages register in a group, without loading it."""
    return {place.name for place in entry_points(group=group)}


def installed(group: str, kind: type, ours: Container[str] = ()) -> dict[str, Any]:
    """Loads what packages register in a group, by name; ours win, and what cannot be loaded is named once."""
    found: dict[str, Any] = {}
    for place in sorted(entry_points(group=group), key=lambda each: each.name):
        if place.name in ours:
            continue
        try:
            value, why = place.load(), ""
        except Exception as error:  # anything can go wrong in another package, and all else goes on
            value, why = None, f"loading {place.value} failed with {type(error).__name__}: {error}"
        if not why and not isinstance(value, kind):
            why = f"{place.value} must be a `{kind.__name__}`, got {type(value).__name__}"
        if not why:
            found[place.name] = value
        elif place.value not in _told:
            _told.add(place.value)
            package = place.dist.name if place.dist is not None else "a package"
            say(f"The {group.rpartition('.')[2].rstrip('s')} {place.name} of {package} is left out: {why}.")
    return found

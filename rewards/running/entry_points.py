"""Rewards that other packages ship, in the entry-point group `truealign.rewards`."""

from collections import defaultdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "truealign.rewards"


def shipped_rewards() -> "dict[str, list[EntryPoint]]":
    """Lists the rewards of installed packages by name; the same name may be shipped twice."""
    from importlib.metadata import entry_points  # a tenth of the time that `import rewards` takes

    found: dict[str, list[EntryPoint]] = defaultdict(list)
    for point in entry_points(group=GROUP):
        if point not in found[point.name]:
            found[point.name].append(point)
    return dict(found)


def load_shipped(name: str, points: "list[EntryPoint]") -> Any:
    """Loads a reward of an installed package.

    Raises:
        ValueError: If several packages ship it, or loading it fails.
    """
    values = {point.value for point in points}
    if len(values) > 1:
        listed = ", ".join(f"{point.value} of {package_of(point)}" for point in sorted(points, key=package_of))
        raise ValueError(
            f"Reward {name!r} is shipped by several packages: {listed}. Name the one you mean by its dotted path."
        )
    try:
        return points[0].load()
    except Exception as error:  # whatever the package raises is the user's to see
        raise ValueError(
            f"Reward {name!r}: loading {points[0].value} of {package_of(points[0])} failed with "
            f"{type(error).__name__}: {error}."
        ) from error


def package_of(point: "EntryPoint") -> str:
    """Names the distribution an entry point belongs to."""
    return point.dist.name if point.dist is not None else "an unknown package"

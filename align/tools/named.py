"""Tools and environments as a recipe names them: found by a path or a module, and by nothing else."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rewards.running.loading import find_dotted, find_in_file

if TYPE_CHECKING:  # every process of a tool imports this module, and parsing recipes takes half a second
    from align.recipe.recipe import Recipe

OWN_OF_ENVIRONMENT = ("reset", "get_reward")  # methods that TRL calls, and the model does not


class Spec(NamedTuple):
    """What a recipe names: `file.py:name`, relative to its folder, or `package.module:name`."""

    spec: str
    base_dir: Path | None = None

    def find(self, noun: str) -> Any:
        """Loads what is named; raises `ValueError` if that cannot be."""
        place, _, name = self.spec.rpartition(":")
        if place.endswith(".py"):
            return find_in_file(self.spec, self.base_dir, noun=noun)[1]
        if "/" in place:
            raise ValueError(
                f"{noun} {self.spec!r}: {place!r} is no module. A file is named with its ending: {place}.py:{name}."
            )
        return find_dotted(f"{place}.{name}", noun=noun, written=self.spec)


def specs_of(settings: Any) -> tuple[list[str], dict[str | None, str]]:
    """Reads which tools and environments are named; one environment without a name stands under None."""
    tools, given = list(settings.tools or []), settings.environment_factory
    environments: dict[str | None, str] = {None: given} if isinstance(given, str) else dict(given or {})
    for key, spec in [("tools", spec) for spec in tools] + [
        ("environment_factory" if name is None else f"environment_factory.{name}", spec)
        for name, spec in environments.items()
    ]:
        place, _, name = spec.rpartition(":")
        if place in ("verifiers", "openreward", "harbor"):
            raise ValueError(f"`{key}` names a class of yours. Write `environment: {spec}`.")
        if not place or not name.isidentifier():
            raise ValueError(f"`{key}` must be written path/to/file.py:name or package.module:name; got {spec!r}.")
    return tools, environments


def named_by(recipe: "Recipe") -> tuple[list[Spec], dict[str | None, Spec]]:
    """Lists the tools and environments of a recipe; paths are relative to its folder."""
    tools, environments = specs_of(recipe.settings)
    folder = recipe.path.parent
    return [Spec(spec, folder) for spec in tools], {name: Spec(spec, folder) for name, spec in environments.items()}


def find_tool(spec: Spec) -> Callable[..., Any]:
    """Finds a tool; raises `ValueError` if there is none, or it is no function."""
    found: Any = spec.find("Tool")
    if not inspect.isfunction(found):
        kind = "a class" if inspect.isclass(found) else f"of type {type(found).__name__}"
        raise ValueError(
            f"Tool {spec.spec!r} is {kind}, and TRL takes functions, whose signature and docstring tell the model how "
            "to call them. Write `def name(argument: type) -> type`; methods that share state belong to a class that "
            "`environment_factory` names."
        )
    return found


def find_factory(spec: Spec) -> Callable[[], Any]:
    """Finds what makes the instances of an environment: a class, or a function without arguments."""
    found: Any = spec.find("Environment")
    if not callable(found):
        raise ValueError(
            f"Environment {spec.spec!r} is of type {type(found).__name__} and cannot be called. Name a class, or a "
            "function that makes one of its instances."
        )
    return found  # type: ignore[no-any-return]


def tool_methods(environment: type) -> dict[str, Callable[..., Any]]:
    """Lists the methods of an environment that TRL makes tools of: the public ones but `reset` and `get_reward`."""
    methods = inspect.getmembers(environment, predicate=inspect.isfunction)
    return {name: method for name, method in methods if name not in OWN_OF_ENVIRONMENT and not name.startswith("_")}

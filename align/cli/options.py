"""Makes options of a command from groups of them, see `align.options`."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer


def takes(*, in_panels: bool = False, **groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of groups, dataclasses by the name of the command's parameter.

    The command keeps its own parameters and gets each group, filled in, under its name. `in_panels` shows options by
    what they are about, and leaves out rare ones.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in inspect.signature(command).parameters.values() if each.name not in groups]
        own = [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [each for group in groups.values() for each in parameters(group, in_panels=in_panels)]

        def run(**given: Any) -> None:
            filled = {name: group(**{each.name: given.pop(each.name) for each in fields(group)})
                      for name, group in groups.items()}  # fmt: skip
            command(**given, **filled)

        run.__doc__ = command.__doc__
        run.__name__ = command.__name__
        run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in [*own, *options]}
        return run

    return decorate


def parameters(group: type, *, in_panels: bool = False) -> list[inspect.Parameter]:
    """Makes typer's parameters from the fields of a group; a panel is titled by the class that declares its fields."""
    hints = get_type_hints(group)
    found = []
    for each in fields(group):
        flags = each.metadata["flags"] or (f"--{each.name}",)
        if hints[each.name] == bool | None:
            flags = (f"--{each.name}/--no-{each.name}",)
        kind: Any = hints[each.name]
        shown: dict[str, Any] = {"help": each.metadata["help"], "min": each.metadata["least"]}
        if in_panels:
            declared = next(base for base in group.__mro__ if each.name in inspect.get_annotations(base))
            title = (declared.__doc__ or "").rstrip(".") or None
            shown |= {"rich_help_panel": title, "hidden": each.metadata["rare"]}
        given = Annotated[kind, typer.Option(*flags, **shown)]
        only = inspect.Parameter.KEYWORD_ONLY
        found.append(inspect.Parameter(each.name, only, default=each.default, annotation=given))
    return found


def given_options(context: typer.Context) -> set[str]:
    """Lists the options that were written on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}

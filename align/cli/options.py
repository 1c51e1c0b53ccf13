"""Options of commands, each declared once: a group is a dataclass, and its fields are the options."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, get_type_hints

import typer


def option(default: Any, help: str, *flags: str) -> Any:
    """Declares an option of a group.

    Args:
        default: Where the command line does not name it.
        help: What it does.
        flags: How it is written, if not `--` and the name of the field.
    """
    return field(default=default, metadata={"help": help, "flags": flags})


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How a command reads rows."""

    split: str | None = option(None, "Split of a folder or hub data set.")
    max_rows: int | None = option(None, "Read only this many rows.")
    on_bad_rows: str = option("raise", "raise, or skip to leave them out and count them.")


@dataclass(frozen=True, kw_only=True)
class Media:
    """How a command reads images and videos."""

    media_dir: str | None = option(None, "Folder of the images and videos; that of the rows if not given.")
    num_frames: int = option(16, "Frames taken of a video, evenly over its time; else the recipe's.")
    fps: float | None = option(
        None, "Frames taken for each second of a video, `num_frames` at most; else the recipe's."
    )
    max_pixels: int | None = option(None, "Images and frames with more pixels are made smaller; else the recipe's.")
    frames_dir: str | None = option(None, "Where frames are kept for the next run; ~/.cache if not given.")


@dataclass(frozen=True, kw_only=True)
class Computing:
    """How a command runs models."""

    batch_size: int | None = option(None, "Sequences at once; 32 for policies, 16 for reward models.")
    dtype: str = option("float32", "Of the loaded weights.")
    device: str | None = option(None, "Where to compute; the accelerator if there is one.")


def takes(**groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of groups.

    The command keeps its own parameters and gets each group, filled in, under its name.

    Args:
        groups: Dataclasses of options, by the name of the command's parameter.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [each for each in inspect.signature(command).parameters.values() if each.name not in groups]
        own = [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD]
        options = [each for group in groups.values() for each in parameters(group)]

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


def parameters(group: type) -> list[inspect.Parameter]:
    """Makes typer's parameters from the fields of a group."""
    hints = get_type_hints(group)
    found = []
    for each in fields(group):
        flags = each.metadata["flags"] or (f"--{each.name}",)
        if hints[each.name] == bool | None:
            flags = (f"--{each.name}/--no-{each.name}",)
        kind: Any = hints[each.name]
        given = Annotated[kind, typer.Option(*flags, help=each.metadata["help"])]
        only = inspect.Parameter.KEYWORD_ONLY
        found.append(inspect.Parameter(each.name, only, default=each.default, annotation=given))
    return found


def values(*groups: Any) -> dict[str, Any]:
    """Joins the values of groups."""
    joined: dict[str, Any] = {}
    for group in groups:
        joined |= {each.name: getattr(group, each.name) for each in fields(group)}
    return joined


def given_options(context: typer.Context) -> set[str]:
    """Lists the options that were written on the command line."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return {name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"}

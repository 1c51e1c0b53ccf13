"""Options, each declared once: a group is a dataclass, and its fields are what a command or a Python call takes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

COLUMNS = "Columns named otherwise in the rows, such as '{options: choices, answer: answerKey}'."
Function = TypeVar("Function", bound=Callable[..., Any])
Options = ParamSpec("Options")
Group = TypeVar("Group")
Result = TypeVar("Result")


def option(default: Any, help: str, *flags: str, rare: bool = False, least: int | None = None) -> Any:
    """Declares an option of a group.

    Args:
        default: Where the command line does not name it; `...` where it has to.
        help: What it does.
        flags: How it is written, if not `--` and the name of the field.
        rare: Whether few need it, so that the help of a command with many options leaves it out.
        least: The least number that a command takes.
    """
    return field(default=default, metadata={"help": help, "flags": flags, "rare": rare, "least": least})


def several(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the words of a list option; one text is a list of it.

    Example:
        >>> several("week"), several(["week", "hour"]), several(None)
        (('week',), ('week', 'hour'), ())
    """
    return (value,) if isinstance(value, str) else tuple(value or ())


def options_of(group: Callable[Options, Group]) -> Callable[[Callable[[Group], Result]], Callable[Options, Result]]:
    """Makes a function of a group a function of its options, for type checkers, help and Tab; paths become words."""

    def decorate(function: Callable[[Group], Result]) -> Callable[Options, Result]:
        @wraps(function)
        def call(*given: Options.args, **named: Options.kwargs) -> Result:
            found: Any = group(*given, **named)
            paths = {each.name: getattr(found, each.name) for each in fields(found) if "Path" not in str(each.type)}
            return function(
                replace(found, **{name: str(each) for name, each in paths.items() if isinstance(each, Path)})
            )

        call.__signature__ = signature(group)  # type: ignore[attr-defined]
        return call

    return decorate


def parts(whole: Any, *groups: type) -> list[Any]:
    """Splits a group that joins others into these."""
    return [group(**{each.name: getattr(whole, each.name) for each in fields(group)}) for group in groups]


def listing(*groups: type) -> Callable[[Function], Function]:
    """Lists the options of groups in the signature of a function that takes them as `**options`: for help, and Tab."""

    def decorate(function: Function) -> Function:
        own = [each for each in signature(function).parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        only = Parameter.KEYWORD_ONLY
        own += [
            Parameter(each.name, only, default=each.default, annotation=each.type)
            for group in groups
            for each in fields(group)
        ]
        function.__signature__ = Signature(own)  # type: ignore[attr-defined]
        return function

    return decorate


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How rows are read."""

    split: str | None = option(None, "Split of a folder or hub data set.")
    max_rows: int | None = option(None, "Read only this many rows.")
    on_bad_rows: str = option("raise", "raise, or skip to leave them out and count them.")


@dataclass(frozen=True, kw_only=True)
class Media:
    """How rows are read."""

    media_dir: str | None = option(None, "Folder of the images and videos; that of the rows if not given.", rare=True)
    num_frames: int = option(16, "Frames taken of a video, evenly over its time; else the recipe's.", rare=True)
    fps: float | None = option(
        None, "Frames taken for each second of a video, `num_frames` at most; else the recipe's.", rare=True
    )
    video_as: str = option(
        "auto", "video, images, or auto (video where the model reads it); else the recipe's.", rare=True
    )
    max_pixels: int | None = option(None, "Larger images and frames are made smaller; else the recipe's.", rare=True)
    frames_dir: str | None = option(None, "Where frames are kept for the next run; ~/.cache if not given.", rare=True)


@dataclass(frozen=True, kw_only=True)
class Computing:
    """What runs the models."""

    batch_size: int | None = option(None, "Sequences at once; 32 for policies, 16 for reward models.")
    dtype: str = option("float32", "Type of the loaded weights.", rare=True)
    device: str | None = option(None, "Where to compute; the accelerator if there is one.", rare=True)

"""Options, each declared once: a group is a dataclass, and its fields are what a command or a Python call takes."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


def option(default: Any, help: str, *flags: str, rare: bool = False) -> Any:
    """Declares an option of a group.

    Args:
        default: Where the command line does not name it; `...` where it has to.
        help: What it does.
        flags: How it is written, if not `--` and the name of the field.
        rare: Whether few need it, so that the help of a command with many options leaves it out.
    """
    return field(default=default, metadata={"help": help, "flags": flags, "rare": rare})


def several(value: str | Sequence[str] | None) -> tuple[str, ...]:
    """Returns the words of a list option; one text is a list of it.

    Example:
        >>> several("week"), several(["week", "hour"]), several(None)
        (('week',), ('week', 'hour'), ())
    """
    return (value,) if isinstance(value, str) else tuple(value or ())


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
    max_pixels: int | None = option(None, "Larger images and frames are made smaller; else the recipe's.", rare=True)
    frames_dir: str | None = option(None, "Where frames are kept for the next run; ~/.cache if not given.", rare=True)


@dataclass(frozen=True, kw_only=True)
class Computing:
    """What runs the models."""

    batch_size: int | None = option(None, "Sequences at once; 32 for policies, 16 for reward models.")
    dtype: str = option("float32", "Of the loaded weights.", rare=True)
    device: str | None = option(None, "Where to compute; the accelerator if there is one.", rare=True)

"""Durations as people write them."""

import re

from align.errors import RecipeError
from align.recipe.problems import shown


def read_seconds(text: str, name: str) -> float:
    """Reads a duration such as `3h50m`, `90 min`, `03:50:00`, or Slurm's `1-12:00:00`.

    Raises:
        RecipeError: If it is none, or not above zero.

    Example:
        >>> read_seconds("3h50m", "--time_limit")
        13800.0
    """
    from pandas import Timedelta

    days = re.fullmatch(r"(\d+)-(\d+:\d+:\d+)", text.strip())
    try:
        if re.fullmatch(r"[\d.\s]+", text) or "," in text:
            raise ValueError("a unit is missing, or a comma would be left out")
        seconds = Timedelta(f"{days[1]} days {days[2]}" if days else text).total_seconds()
    except ValueError:
        seconds = float("nan")
    if not seconds > 0:
        raise RecipeError(f"`{name}` must be a duration such as 3h50m, 90min or 03:50:00, got {shown(text)}.")
    return seconds

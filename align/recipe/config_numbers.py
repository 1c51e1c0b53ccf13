"""Numbers of a config that was made in Python: those of a recipe were read by their type, these come as they are."""

import dataclasses
from collections.abc import Iterable
from numbers import Real
from typing import Any, get_args

from align.recipe.ranges import is_finite


def check_numbers(config: Any, names: Iterable[str]) -> None:
    """Checks that settings are finite numbers, and whole ones where their type says so; 2.0 becomes 2."""
    types = {field.name: get_args(field.type) or (field.type,) for field in dataclasses.fields(config)}
    for name in names:
        value = getattr(config, name)
        if value is None and type(None) in types[name]:
            continue
        if isinstance(value, bool) or not isinstance(value, Real):
            remedy = " Write it without quotes." if isinstance(value, str) else ""
            raise TypeError(f"`{name}` must be a number, got {value!r}.{remedy}")
        number: Any = value
        if not is_finite(number):
            raise ValueError(f"`{name}` must be a finite number, got {value}.")
        if float not in types[name]:
            if number != int(number):
                raise ValueError(f"`{name}` must be a whole number, got {value}.")
            setattr(config, name, int(number))

"""What `align augment` asks of a method."""

from collections.abc import Callable
from typing import NamedTuple


class Augmentation(NamedTuple):
    """How data for a method is made.

    Attributes:
        options: Those of the command that mean something to this method only.
        with_model: Makes the data with a sampled model; returns 1 if there is none.
        with_rules: Makes it with rules in place of a model, where that can be.
        rules: The option that names the rules.
    """

    options: tuple[str, ...]
    with_model: Callable[..., int]
    with_rules: Callable[..., int] | None = None
    rules: str = ""

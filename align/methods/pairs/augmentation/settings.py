"""What `align augment` asks of a method, and settings that making data has in common."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from align.errors import UserError


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How a model is sampled."""

    temperature: float  # 0 takes the most likely token
    top_p: float = 1.0  # probability of the most likely tokens that are drawn from
    max_new_tokens: int  # longest answer
    seed: int = 0  # of everything that is drawn

    def __post_init__(self) -> None:
        """Checks the values."""
        check_at_least_one("max_new_tokens", self.max_new_tokens)
        if self.temperature < 0:
            raise UserError(f"`temperature` must be 0 or more, got {self.temperature}.")
        if not 0 < self.top_p <= 1:
            raise UserError(f"`top_p` must be above 0 and at most 1, got {self.top_p}.")


def check_at_least_one(name: str, number: int) -> None:
    """Refuses a count below 1."""
    if number < 1:
        raise UserError(f"`{name}` must be at least 1, got {number}.")


def check_choice(name: str, value: str, known: Sequence[str]) -> None:
    """Refuses a value that is not among those known."""
    if value not in known:
        near = get_close_matches(value, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UserError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.{hint}")


class Augmentation(NamedTuple):
    """How data for a method is made."""

    options: tuple[str, ...]  # of the command that mean something to this method only
    with_model: Callable[..., int]  # returns 1 if there is none
    with_rules: Callable[..., int] | None = None
    rules: str = ""  # the option that names the rules

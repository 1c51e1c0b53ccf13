from collections.abc import Sequence
from typing import Any, Literal, get_args

from rewards.reading.responses import Completion, completion_text

Unit = Literal["tokens", "characters"]


class Length:
    """Punishes responses near or beyond a length limit (soft overlong punishment, DAPO, arXiv 2503.14476, Eq. 13).

    0 up to `max_length - margin`, then falling linearly to -1 at `max_length`, and -1 beyond it.

    Args:
        max_length: Length from which the full punishment applies.
        margin: Width of the slope before `max_length`; 0 makes it a step.
        unit: What is counted: `tokens` or `characters`.
    """

    __name__ = "length"

    def __init__(self, max_length: int, margin: int = 0, unit: Unit = "tokens") -> None:
        for name, value in (("max_length", max_length), ("margin", margin)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"`{name}` must be a whole number of {unit}, got {value!r}.")
        if max_length < 1 or not 0 <= margin <= max_length:
            raise ValueError(
                "`max_length` must be at least 1 and `margin` between 0 and `max_length`, "
                f"got {max_length} and {margin}."
            )
        if unit not in get_args(Unit):
            raise ValueError(f"`unit` must be one of {', '.join(get_args(Unit))}; got {unit!r}.")
        self.max_length = max_length
        self.margin = margin
        self.unit = unit

    def __call__(
        self, completions: Sequence[Completion], completion_ids: Sequence[Sequence[int]] | None = None, **kwargs: Any
    ) -> list[float]:
        """Scores completions: their text with `unit="characters"`, else the tokens in `completion_ids`.

        Example:
            >>> Length(max_length=100, margin=20)(["", "", ""], completion_ids=[[7] * 80, [7] * 90, [7] * 101])
            [0.0, -0.5, -1.0]
        """
        if self.unit == "characters":
            return [self._punish(len(completion_text(completion))) for completion in completions]
        if completion_ids is None:
            raise ValueError(
                "`length` counts tokens and needs `completion_ids`. Pass them, or use `unit: characters`."
            )
        return [self._punish(len(ids)) for ids in completion_ids]

    def _punish(self, length: int) -> float:
        if length > self.max_length:
            return -1.0
        excess = length - (self.max_length - self.margin)
        return -excess / self.margin if excess > 0 else 0.0

"""How long an endpoint is waited for, how often it is asked again, and how much it may send."""

from dataclasses import dataclass

from align.errors import UserError

_ABOVE_ZERO = ("timeout", "max_answer_mb")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a call to an endpoint may take.

    Attributes:
        timeout: Seconds until a call is late. Its connection stays open, and its answer still counts.
        late_timeout: Seconds more until a late call is sent once again. The first one stays open beside it.
        max_retries: How often errors of the server and lost connections are tried again.
        max_repeats: How often is asked again after an answer without content, one that is too large, or none at all.
        max_answer_mb: Megabytes of an answer; reading stops there.
        refusal_timeout: Seconds that a call is tried on after the server refuses a key that it had accepted.

    Raises:
        UserError: If a limit is negative, or nothing could pass it.
    """

    timeout: float = 120.0
    late_timeout: float = 480.0
    max_retries: int = 5
    max_repeats: int = 2
    max_answer_mb: float = 4.0
    refusal_timeout: float = 600.0

    def __post_init__(self) -> None:
        """Checks the values."""
        for name, value in vars(self).items():
            if name in _ABOVE_ZERO and not value > 0:
                raise UserError(f"`{name}` must be above 0, got {value}.")
            if not value >= 0:
                raise UserError(f"`{name}` must be 0 or more, got {value}.")

    @property
    def patience(self) -> float:
        """Seconds until a call without an answer is sent once more."""
        return self.timeout + self.late_timeout

    @property
    def max_answer_bytes(self) -> float:
        """The largest answer."""
        return self.max_answer_mb * 1e6

"""What a judge is asked and what that costs, expected and counted."""

from typing import NamedTuple

PER_PRICE = 1_000_000  # tokens


class Prices(NamedTuple):
    """Of a million tokens, in any currency."""

    prompt: float | None = None
    completion: float | None = None

    def of(self, prompt_tokens: float, completion_tokens: float) -> float | None:
        """Returns what tokens cost; None where no price is known."""
        if self.prompt is None and self.completion is None:
            return None
        return ((self.prompt or 0.0) * prompt_tokens + (self.completion or 0.0) * completion_tokens) / PER_PRICE


class Estimate(NamedTuple):
    """What is asked about one completion, at most; prompts are counted on rows of the data."""

    requests: float
    prompt_tokens: float
    completion_tokens: float


class Spending:
    """What was asked, counted.

    Attributes:
        requests: Answered by the model.
        cached: Found in the cache, and not paid for again.
        unanswered: That the model refused or nobody answered.
        prompt_tokens: Of the requests.
        completion_tokens: Of their answers.
    """

    def __init__(self) -> None:
        self.requests = self.cached = self.unanswered = self.prompt_tokens = self.completion_tokens = 0

    def numbers(self) -> dict[str, float]:
        """Lists them by name."""
        return dict(vars(self))

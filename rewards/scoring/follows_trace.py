"""Whether an answer is the option that its trace states: a reward without labels, and without a second pass."""

from collections.abc import Sequence
from typing import Any

from rewards.reading.options import parse_choice
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.reading.traces import stated_choice


class FollowsTrace:
    """Rewards an answer that is the one option which its trace states last, by its text, with 1.0, and another with 0.

    No right answer is read. It is about traces that state an option: those that state none, or several in their last
    sentence, are None. Where most state one, it asks what `answer_agreement` asks without a second pass.
    """

    __name__ = "follows_trace"
    about_form = True  # no right answer moves it
    without_labels = True

    def __init__(self, response_format: ResponseFormat = DEFAULT_FORMAT) -> None:
        self.response_format = response_format

    def __call__(
        self, completions: Sequence[Completion], options: Sequence[Sequence[str]], **kwargs: Any
    ) -> list[float | None]:
        """Scores completions.

        Example:
            >>> said = ["<think>So gold.</think><answer>A</answer>", "<think>Gold or iron.</think><answer>A</answer>"]
            >>> follows_trace(said, [["iron", "gold"]] * 2)
            [0.0, None]
        """
        return [self._score(each, shown) for each, shown in zip(completions, options, strict=True)]

    def _score(self, completion: Completion, options: Sequence[str]) -> float | None:
        response = parse_response(completion_text(completion), self.response_format)
        stated = stated_choice(response.trace, options)
        return None if stated is None else float(parse_choice(response.answer, options) == stated)


follows_trace = FollowsTrace()

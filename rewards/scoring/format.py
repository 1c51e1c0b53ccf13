from collections.abc import Sequence
from typing import Any

from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response


class Format:
    """Rewards a well-formed response with 1.0: a trace in its tags, then one answer in its tags, and nothing else.

    What the answer says does not matter. An opening think tag may be missing, because chat templates prefill it.
    """

    __name__ = "format"

    def __init__(self, response_format: ResponseFormat = DEFAULT_FORMAT) -> None:
        self.response_format = response_format

    def __call__(self, completions: Sequence[Completion], **kwargs: Any) -> list[float]:
        """Scores completions, plain or conversational.

        Example:
            >>> Format()(["<think>Iron.</think><answer>B</answer>", "<answer>B</answer>"])
            [1.0, 0.0]
        """
        responses = (parse_response(completion_text(completion), self.response_format) for completion in completions)
        return [float(response.well_formed) for response in responses]


format = Format()

from collections.abc import Sequence
from typing import Any

from rewards.reading.options import parse_choice
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response


def chosen_options(
    completions: Sequence[Completion],
    options: Sequence[Sequence[str]],
    response_format: ResponseFormat = DEFAULT_FORMAT,
) -> list[int | None]:
    """Reads which option each completion answers, as an index into its row's options; None for no answer.

    Example:
        >>> chosen_options(["<answer>B</answer>", "no idea"], [["iron", "gold"], ["iron", "gold"]])
        [1, None]
    """
    answers = [parse_response(completion_text(completion), response_format).answer for completion in completions]
    return [parse_choice(answer, row) for answer, row in zip(answers, options, strict=True)]


class Accuracy:
    """Rewards the right option with 1.0 and everything else, no answer included, with 0.0.

    Args:
        response_format: Tags of the response.
    """

    __name__ = "accuracy"

    def __init__(self, response_format: ResponseFormat = DEFAULT_FORMAT) -> None:
        self.response_format = response_format

    def __call__(
        self,
        completions: Sequence[Completion],
        options: Sequence[Sequence[str]],
        answer: Sequence[int | None],
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; a row whose `answer` is None is skipped.

        Args:
            completions: The responses, plain or conversational.
            options: Options per row, in the order of the prompt.
            answer: Index of the right option per row.
            **kwargs: Other columns, not used.

        Raises:
            TypeError: If an answer is not an index.

        Example:
            >>> accuracy(["<answer>B</answer>", "Answer: A"], [["iron", "gold"], ["iron", "gold"]], [1, 1])
            [1.0, 0.0]
        """
        for gold in answer:
            if gold is not None and (isinstance(gold, bool) or not isinstance(gold, int)):
                raise TypeError(
                    f"Column `answer` must hold 0-based indices into `options`, got {gold!r}. "
                    "`align.data.questions_to_rows` makes them from letters and texts."
                )
        choices = chosen_options(completions, options, self.response_format)
        return [None if gold is None else float(a == gold) for a, gold in zip(choices, answer, strict=True)]


accuracy = Accuracy()

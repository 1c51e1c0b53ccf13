from collections.abc import Sequence
from typing import Any

from rewards.reading.options import LETTERS, parse_choice
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
    """Rewards the right option with 1.0 and everything else, no answer included, with 0.0."""

    __name__ = "accuracy"

    def __init__(self, response_format: ResponseFormat = DEFAULT_FORMAT) -> None:
        self.response_format = response_format

    def __call__(
        self,
        completions: Sequence[Completion],
        options: Sequence[Sequence[str]],
        answer: Sequence[int | str | None],
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; a row whose `answer`, a 0-based index or a letter, is None is skipped.

        Example:
            >>> accuracy(["<answer>B</answer>", "Answer: A"], [["iron", "gold"], ["iron", "gold"]], [1, "B"])
            [1.0, 0.0]
        """
        golds = [right_option(gold, row) for gold, row in zip(answer, options, strict=True)]
        choices = chosen_options(completions, options, self.response_format)
        return [None if gold is None else float(a == gold) for a, gold in zip(choices, golds, strict=True)]


def right_option(gold: int | str | None, options: Sequence[str]) -> int | None:
    """Reads an index or a letter; a letter that is itself the text of another option is refused, as any other text."""
    if gold is None or (isinstance(gold, int) and not isinstance(gold, bool)):
        return gold
    letters = list(LETTERS[: len(options)])
    if isinstance(gold, str) and gold in letters and gold not in options:
        return letters.index(gold)
    raise TypeError(
        f"Column `answer` must hold 0-based indices into `options`, or letters, got {gold!r} for the options "
        f"{list(options)!r:.200}. `align.data.questions_to_rows` makes indices from letters and texts."
    )


accuracy = Accuracy()

"""ACRE's reward: a right answer is worth most when it survives a shuffle of the options (arXiv 2510.10104)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat
from rewards.scoring.accuracy import chosen_options

OUTCOMES = ("both", "first_only", "second_only", "neither")


def outcome(first: int | None, second: int | None, gold: int) -> str:
    """Names which of the two answers are right; all three are indices into the row's own options.

    Example:
        >>> outcome(first=2, second=0, gold=2), outcome(first=None, second=2, gold=2)
        ('first_only', 'second_only')
    """
    if first == gold:
        return "both" if second == gold else "first_only"
    return "second_only" if second == gold else "neither"


@dataclass(eq=False)
class AnswerConsistency:
    """Rewards an answer by whether it and a second answer, from the same trace and shuffled options, are right.

    The four cases are worth `both`, `first_only`, `second_only` and 0 (the coefficients alpha_1..3 of Formula 3; the
    numbers are ours, the paper's are not public). Letters are compared by content; where answers are texts, the
    trainer says which are right. With several second answers the reward is the mean over them. The setting (1, 1, 0)
    is plain accuracy.

    Args:
        both: Reward when both answers are right.
        first_only: Reward when only the first is right: the trace does not carry the answer.
        second_only: Reward when only the second is right: the trace was right, the answer was not.
        response_format: Tags of the response; used only where the trainer made no second pass.

    Example:
        >>> reward = AnswerConsistency(both=1.0, first_only=0.5, second_only=0.2)
        >>> reward(first_choice=[1, 1, 0, None], second_choices=[[1], [1, 2], [1], None], answer=[1, 1, 1, 1])
        [1.0, 0.75, 0.2, 0.0]
    """

    __name__ = "answer_consistency"

    both: float = 1.0
    first_only: float = 0.5
    second_only: float = 0.2
    response_format: ResponseFormat = DEFAULT_FORMAT

    def __post_init__(self) -> None:
        both, first_only, second_only = self.both, self.first_only, self.second_only
        for name, value in (("both", both), ("first_only", first_only), ("second_only", second_only)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"`{name}` must be a finite number, got {value!r}.")
        if both < first_only:
            raise ValueError(
                f"`both` must be at least `first_only`, got {both} < {first_only}: agreement would be punished."
            )
        if not 0 <= second_only < both:
            raise ValueError(
                f"`second_only` must be at least 0 and below `both`, got {second_only} with both={both}. "
                "Use 0 to give a wrong first answer nothing."
            )

    def needs_second_answer(self, first_is_correct: bool) -> bool:
        """Tells whether the reward of a row can depend on its second answer."""
        return self.both != self.first_only if first_is_correct else self.second_only != 0

    def __call__(
        self,
        completions: Sequence[Completion] | None = None,
        answer: Sequence[int | None] = (),
        first_choice: Sequence[int | None] | None = None,
        second_choices: Sequence[Sequence[int | None] | None] | None = None,
        options: Sequence[Sequence[str]] | None = None,
        first_right: Sequence[bool | None] | None = None,
        second_right: Sequence[Sequence[bool] | None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions by the columns that `ACRETrainer` or, where answers are texts, `TextACRETrainer` adds.

        `first_choice` has the first answer per row, None for no answer, and `second_choices` the second ones, mapped
        back to the row's own options; `first_right` and `second_right` say instead which are right. A row without a
        second pass has None, and counts as a wrong second answer. None as `answer`, the index of the right option, or
        as `first_right` skips the row. `completions` and `options` are read only if there is no `first_choice`. Raises
        `ValueError` if the reward needs second answers and there are none.
        """
        if first_right is not None:
            verdicts = zip(first_right, second_right or [None] * len(first_right), strict=True)
            return [None if first is None else self._reward(first, second, gold=True) for first, second in verdicts]
        if first_choice is None:
            first_choice = self._read_first_choice(completions, options, answer)
        seconds = second_choices if second_choices is not None else [None] * len(first_choice)
        rows = zip(first_choice, seconds, answer, strict=True)
        return [None if gold is None else self._reward(first, second, gold) for first, second, gold in rows]

    def _read_first_choice(
        self,
        completions: Sequence[Completion] | None,
        options: Sequence[Sequence[str]] | None,
        answer: Sequence[int | None],
    ) -> list[int | None]:
        if self.needs_second_answer(True) or self.needs_second_answer(False):
            raise ValueError(
                "`answer_consistency` needs the columns `first_choice` and `second_choices`, which `ACRETrainer` adds "
                "after its second pass. Train with `method: acre`, or use `accuracy`."
            )
        if completions is None or options is None:
            raise ValueError("`answer_consistency` needs `completions` and the column `options` to read the answers.")
        return chosen_options(completions, options, self.response_format)

    def _reward(self, first: int | None, seconds: Sequence[int | None] | None, gold: int) -> float:
        worth = {"both": self.both, "first_only": self.first_only, "second_only": self.second_only, "neither": 0.0}
        values = [worth[outcome(first, second, gold)] for second in seconds or [None]]
        return float(sum(values) / len(values))


answer_consistency = AnswerConsistency()

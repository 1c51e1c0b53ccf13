import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from rewards.reading.numbers import ReadNumber, read_number, write_unit
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response

Percent = Literal["hundredths", "unit"]


@dataclass(eq=False)
class NumberAccuracy:
    """Rewards an answer that is the reference number with 1.0 and every other, no answer included, with 0.0.

    Both are read by `read_number` and compared exactly, as fractions: `0.5`, `1/2` and `50%` are the same number. With
    a tolerance, an answer is right if it differs by at most `max(rel_tol * |reference|, abs_tol)`.

    Units: nothing is converted. An answer may leave out the unit of the reference, and may not have another one. If
    the reference has no unit, an answer may have one of `units`. A currency sign is a unit.

    Ambiguities: `50%` is 0.5 and not 50 (see `percent`); `1,234` is 1234 and `1,5` is no number; `0.333` is not 1/3
    without a tolerance; two numbers in one answer are no answer, also if both are right.

    Args:
        rel_tol: Tolerance as a share of the reference.
        abs_tol: Tolerance in the reference's own unit.
        units: Units an answer may carry where the reference has none, such as `["km", "$"]`.
        percent: `hundredths` reads 50% as 0.5; `unit` reads it as 50 with the unit `%`.
    """

    __name__ = "number_accuracy"

    rel_tol: float = 0.0
    abs_tol: float = 0.0
    units: Sequence[str] = ()
    percent: Percent = "hundredths"
    response_format: ResponseFormat = DEFAULT_FORMAT

    def __post_init__(self) -> None:
        for name, value in (("rel_tol", self.rel_tol), ("abs_tol", self.abs_tol)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise ValueError(f"`{name}` must be a finite number, at least 0; got {value!r}.")
        if isinstance(self.units, str) or not all(isinstance(unit, str) for unit in self.units):
            raise ValueError(f"`units` must be a list of units such as ['km'], got {self.units!r}.")
        if self.percent not in get_args(Percent):
            raise ValueError(f"`percent` must be one of {', '.join(get_args(Percent))}; got {self.percent!r}.")
        self.units = [*map(write_unit, self.units)]

    def __call__(
        self, completions: Sequence[Completion], answer: Sequence[str | float | None], **kwargs: Any
    ) -> list[float | None]:
        """Scores completions; a row whose `answer` is None or cannot be read as one number is skipped.

        Example:
            >>> number_accuracy(["<answer>1,000</answer>", "Answer: 50%", "Answer: 3 or 4"], [1000, "1/2", 3])
            [1.0, 1.0, 0.0]
        """
        return [self._score(completion, gold) for completion, gold in zip(completions, answer, strict=True)]

    def _score(self, completion: Completion, gold: str | float | None) -> float | None:
        reference = _read_gold(gold)
        if reference is None:
            return None
        answer = read_number(parse_response(completion_text(completion), self.response_format).answer or "")
        return float(answer is not None and self._same(self._percent(answer), self._percent(reference)))

    def _percent(self, number: ReadNumber) -> ReadNumber:
        return ReadNumber(number.value / 100, "") if number.unit == "%" and self.percent == "hundredths" else number

    def _same(self, answer: ReadNumber, gold: ReadNumber) -> bool:
        accepted = {"", gold.unit} if gold.unit else {"", *self.units}
        tolerance = max(Fraction(self.rel_tol) * abs(gold.value), Fraction(self.abs_tol))
        return answer.unit in accepted and abs(answer.value - gold.value) <= tolerance


def _read_gold(gold: str | float | None) -> ReadNumber | None:
    if gold is None or isinstance(gold, str):
        return read_number(gold or "")
    if isinstance(gold, bool) or not isinstance(gold, int | float):
        raise TypeError(f"Column `answer` must hold a number or a text with one, got {gold!r:.120}.")
    # The shortest decimal that gives this float is what the data's author wrote: 1/10, not the double next to it.
    return ReadNumber(Fraction(repr(gold)), "") if math.isfinite(gold) else None


number_accuracy = NumberAccuracy()

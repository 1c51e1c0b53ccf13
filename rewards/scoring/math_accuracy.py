import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from rewards.reading.formulas import MathGrader, answered_formula, is_worked_out, single_formula
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text
from rewards.running.graders import Graders


class MathAccuracy:
    r"""Rewards an answer that is mathematically equal to the reference with 1.0 and every other with 0.0.

    math-verify compares the two in worker processes that are killed at the time limit; its own limit works on the main
    thread only, and a comparison that is cut off must not look like a wrong answer. A row that takes too long, or
    breaks the comparison, is None, and the shares are logged as `math_accuracy/timeout_rate` and
    `math_accuracy/error_rate`.

    The answer is one formula, in the answer tags or in a `\boxed{}` (`answered_formula`). Several different boxes,
    several formulas (`$5$ or $6$`), text around a formula in the tags, more than 1000 characters and no answer earn 0.

    Ambiguities, all of them math-verify's reading: `50\%` equals both 0.5 and 50; units are dropped (`5 cm` is 5, and
    so is `5 kg`); decimals are compared to 6 places, so 0.333333 is 1/3; `x = 5` equals a reference of 5, and of a
    chain `a = b = 5` the last side counts; `5, 6` and `5 or 6` are the set {5, 6}; `(1, 2)` is an open interval and
    differs from `[1, 2]` and `(2, 1)`. `1e5` and `1e-05` are powers of ten, and the e of `2e-1` is Euler's number.
    Where the reference is a plain number, an expression that is not worked out (`1 + 1`, `\sqrt{4}`, `4/2` for 2)
    earns 0: a question that is itself a formula would be its own answer. So do answers that would take too long, and
    without an attempt: a number of more than 10,000 digits (`10^{10^{10}}`, `9!!!`) and of more than twice the
    reference's, a power of more than 300 terms, brackets nested more than 10 deep, and an integral, sum, product,
    limit, `\gcd` or `\max` that the reference does not have.

    Args:
        timeout: Seconds for one comparison, from when it starts; most take 0.02.
        workers: Number of worker processes, each with about 100 MB.
        memory_gb: Memory a worker may use; a comparison that needs more is an error.
    """

    __name__ = "math_accuracy"
    extra = "math"  # of `rewards.extras`

    def __init__(
        self,
        timeout: float = 10.0,
        workers: int = 1,
        memory_gb: float = 2.0,
        response_format: ResponseFormat = DEFAULT_FORMAT,
    ) -> None:
        self.response_format = response_format
        self._graders = Graders("math_accuracy", "math", MathGrader, timeout, workers, memory_gb)

    def __call__(
        self,
        completions: Sequence[Completion],
        answer: Sequence[str | float | None],
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        r"""Scores completions; a row whose `answer` is None or no formula is skipped.

        An `answer` is a number, LaTeX with or without `$`, or a text with one `\boxed{}`. If math-verify cannot read
        it, the same text earns 1.0 and every other None. `log_metric` gets the shares of comparisons that ended
        without a verdict. Raises `ImportError` if math-verify is not installed, `TypeError` if an answer is neither a
        number nor a text.
        """
        golds = [_read_gold(gold) for gold in answer]
        formulas = [answered_formula(completion_text(text), self.response_format) for text in completions]
        formulas = [
            None if gold and formula and not is_worked_out(formula, gold) else formula
            for gold, formula in zip(golds, formulas, strict=True)
        ]
        pairs = [(gold, formula) for gold, formula in zip(golds, formulas, strict=True) if gold and formula]
        verdicts = iter(self._graders.grade(pairs, _describe, log_metric))
        right = [
            None if gold is None else False if formula is None else next(verdicts)
            for gold, formula in zip(golds, formulas, strict=True)
        ]
        return [None if verdict is None else float(verdict) for verdict in right]


def _describe(pair: tuple[str, str]) -> str:
    gold, formula = pair
    return f"compare {formula!r:.100} with the reference {gold!r:.100}"


def _read_gold(gold: str | float | None) -> str | None:
    if gold is None or (isinstance(gold, float) and not math.isfinite(gold)):
        return None
    if isinstance(gold, bool) or not isinstance(gold, str | int | float):
        raise TypeError(f"Column `answer` must hold a number or LaTeX, got {gold!r:.120}.")
    # A float's own digits: `str` writes 0.00001 as 1e-05.
    return single_formula(format(Decimal(repr(gold)), "f") if isinstance(gold, float) else str(gold))


math_accuracy = MathAccuracy()

"""Compares two formulas with math-verify, without a time limit: to be called in a process that can be killed."""

import importlib
import logging
import re
from typing import Any

from rewards.extras import missing

# The grammar of math-verify 0.9 drops a side of these without a word: `4 \cup 5` becomes 5.
LOSSY = ("\\cup", "\\cap", "\\lor", "\\vee", "\\land", "\\wedge", "∪", "∩", "∨", "∧")  # noqa: RUF001

# 1e5 and 1e-05, of which math-verify takes the e for Euler's number; in 2e-1 it may be that.
SCIENTIFIC = re.compile(r"(?<![\w.\\])(\d+\.?\d*|\.\d+)[eE]([+-]?\d{2,3}|\d)(?![\w.])")

WARM_UP = (("\\frac{1}{2}", "0.5"), ("x + 1", "7"), ("\\{1, 2\\}", "x = 5"))  # build the grammar, load most of sympy


class MathGrader:
    r"""Tells whether a formula equals the reference; None if the reference is no formula.

    Raises:
        ImportError: If math-verify is not installed.

    Example:
        >>> grade = MathGrader()
        >>> grade((r"\frac{1}{2}", "0.5")), grade(("5", "5 or 6"))
        (True, False)
    """

    def __init__(self) -> None:
        check_installed()
        self._library: Any = importlib.import_module("math_verify")
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it has no time limit
        for pair in WARM_UP:
            self(pair)

    def __call__(self, pair: tuple[str, str]) -> bool | None:
        """Grades one pair of reference and answer, both LaTeX without `$`."""
        gold, answer = pair
        if "".join(gold.split()) == "".join(answer.split()):
            return True
        reference = self._parse(gold)
        if reference is None:
            return None
        if any(sign in answer and sign not in gold for sign in LOSSY):
            return False
        formula = self._parse(answer)
        if formula is None or self._is_false(formula):
            return False
        return self._equal(reference, formula)

    def _parse(self, formula: str) -> Any:
        """Reads a formula; None if math-verify cannot read it as a whole."""
        formula = SCIENTIFIC.sub(r"(\1 \\cdot 10^{\2})", formula)
        latex = self._library.LatexExtractionConfig(boxed_match_priority=-1)
        parsed = self._library.parse(
            f"${formula}$", [latex], fallback_mode="no_fallback", parsing_timeout=None, raise_on_error=True
        )
        return parsed[0] if parsed else None

    def _equal(self, gold: Any, answer: Any) -> bool:
        return bool(self._library.verify(gold, answer, timeout_seconds=None, raise_on_error=True))

    def _is_false(self, formula: Any) -> bool:
        """Tells whether an answer contains an equation between numbers that does not hold, such as "6 = 5"."""
        equations = formula.args if type(formula).__name__ == "And" else [formula]
        return any(
            type(equation).__name__ == "Equality"
            and not equation.free_symbols
            and not self._equal(equation.lhs, equation.rhs)
            for equation in equations
        )


def check_installed() -> None:
    """Checks that math-verify can be loaded, without loading it.

    Raises:
        ImportError: If it is not installed; the message names the extra.
    """
    if sentence := missing("math", "`math_accuracy`"):
        raise ImportError(sentence)

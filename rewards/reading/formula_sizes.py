"""Bounds what a formula would take to read and to work out, before anybody does."""

import math
import re
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

MOST_NESTED, MOST_TERMS = 10, 300
MOST_DIGITS = 10_000  # of an answer to a reference that has less than half as many
MOST_OF_REFERENCE = 1_000_000  # digits, which sympy works out in half a second
# What is still to be worked out and takes as long as it likes, from 1 to 10^9 or for ever.
OPERATORS = re.compile(r"\\(?:int|sum|prod|lim|gcd|lcm|max|min)(?![A-Za-z])")
_LARGE_BINOMIAL = re.compile(r"binom.*\d{5}|\d{5}.*binom", re.DOTALL)  # who reads it works it out
_BRACKETS = re.compile(r"\\.|(?P<opens>[{(\[])|[})\]]", re.DOTALL)
_FACTORIALS = ("factorial", "factorial2", "subfactorial", "gamma", "binomial")


def is_too_deep(formula: str) -> bool:
    """Tells whether LaTeX cannot be read soon: each pair of bare braces takes math-verify twice as long."""
    steps = (1 if each["opens"] else -1 for each in _BRACKETS.finditer(formula) if each[0][0] != "\\")
    return max(accumulate(steps), default=0) > MOST_NESTED or _LARGE_BINOMIAL.search(formula) is not None


def digits_of(formula: Any) -> float:
    """Bounds the digits of what a tree of sympy has to work out; infinite with a power of more than 300 terms.

    Example:
        >>> from sympy import Pow, Symbol
        >>> round(digits_of(Pow(2, 2024, evaluate=False))), digits_of(Pow(Symbol("x") + 1, 2024))
        (613, inf)
    """
    try:
        return _size(formula)[0]
    except (OverflowError, RecursionError):
        return math.inf


def check_reference(reference: Any) -> None:
    """Raises `ValueError` for a number that nobody can work out; many terms may be those of the answer, too."""
    try:
        digits = _size(reference)[0]
    except _ManyTermsError:
        return
    except (OverflowError, RecursionError):
        digits = math.inf
    if digits > MOST_OF_REFERENCE:
        raise ValueError(
            f"Column `answer` holds a number of more than {MOST_OF_REFERENCE:,} digits, which nobody can compare with "
            "another. Correct the row, or leave it out"
        )


class _ManyTermsError(OverflowError):
    pass


def _size(node: Any) -> tuple[float, int]:
    """Bounds the digits of a formula and the terms that it has when it is multiplied out."""
    if getattr(node, "is_Rational", False):
        return math.log10(max(abs(node.p), node.q)), 1
    if getattr(node, "is_NumberSymbol", False):
        return 0.5, 1  # pi and e
    parts: Sequence[Any] = node.flat() if hasattr(node, "flat") else getattr(node, "args", ())
    sizes = [_size(part) for part in parts]
    digits, terms = sum(size[0] for size in sizes), max((size[1] for size in sizes), default=1)
    kind = type(node).__name__
    if kind in _FACTORIALS:
        digits *= 10.0 ** min(size[0] for size in sizes)
    elif kind == "Mul":
        terms = math.prod(size[1] for size in sizes)
    elif kind == "Add":
        terms = sum(size[1] for size in sizes)
    elif kind in ("Pow", "exp") and parts[-1].is_number:
        times = abs(float(parts[-1])) if parts[-1].is_Rational else 10.0 ** sizes[-1][0]
        base, terms = sizes[0] if kind == "Pow" else (0.5, 1)
        digits += base * times
        terms = math.comb(int(min(times, MOST_TERMS)) + terms - 1, terms - 1)
    if terms > MOST_TERMS:
        raise _ManyTermsError
    return digits, terms

"""Conditions such as `accuracy < -0.01`, which hold where the whole interval does."""

import math
import operator
import re
from typing import NamedTuple

from align.errors import UserError
from align.evaluation.statistics.metrics import Estimate

_FORM = re.compile(r"\s*([^<>\s][^<>]*?)(?:\.(value|low|high))?\s*(<=|>=|<|>)\s*(\S+)\s*")
_HOW = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


class Condition(NamedTuple):
    """A bound of a quantity: of its whole interval, or of its value or an `end` alone."""

    name: str
    end: str | None
    sign: str
    than: float

    def holds(self, found: Estimate) -> bool:
        """Tells whether a quantity is told to be so."""
        if self.end is not None:
            return bool(_HOW[self.sign](getattr(found, self.end), self.than))
        is_less = self.sign[0] == "<"
        than = math.nextafter(self.than, math.inf if is_less else -math.inf) if "=" in self.sign else self.than
        return found.verdict(than) == ("below" if is_less else "above")


def read_condition(text: str, rule: str) -> Condition:
    """Reads a condition; the `UserError` of another text begins with the rule.

    Example:
        >>> tuple(read_condition("acc.low >= .5", "")), tuple(read_condition("reward/length<1", ""))
        (('acc', 'low', '>=', 0.5), ('reward/length', None, '<', 1.0))
    """
    parsed = _FORM.fullmatch(text)
    try:
        than = float(parsed[4]) if parsed else math.nan
    except ValueError:
        than = math.nan
    if parsed is None or not math.isfinite(than):
        raise UserError(f"{rule}, got {text.strip()!r}.")
    return Condition(parsed[1], parsed[2], parsed[3], than)

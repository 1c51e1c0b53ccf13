"""Finds the one formula a response answers with, as LaTeX; in doubt there is none. math-verify compares two."""

import logging
import re
from typing import Any

from rewards.extras import library
from rewards.reading.formula_sizes import MOST_DIGITS, OPERATORS, check_reference, digits_of, is_too_deep
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat, parse_response

MAX_CHARACTERS = 1000
BOXED = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*+(?P<brace>\{)?")
WRAPPED = re.compile(r"\$\$(.*)\$\$|\$(.*)\$|\\\((.*)\\\)|\\\[(.*)\\\]", re.DOTALL)
DOLLAR = re.compile(r"(?<!\\)\$")
MINUS = str.maketrans("−–", "--")  # noqa: RUF001


def answered_formula(text: str, response_format: ResponseFormat = DEFAULT_FORMAT) -> str | None:
    r"""Finds the formula a response answers with.

    It is the content of the answer tags (or of the last line `Answer: ...`), or, in a response without them, of the
    `\boxed{...}` (or `\fbox{...}`) behind the trace. Boxes in the trace do not count.

    Example:
        >>> answered_formula(r"<think>\boxed{1}</think>So \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
        >>> answered_formula(r"\boxed{1} or \boxed{2}") is None
        True
    """
    answer = parse_response(text, response_format).answer
    if answer is not None:
        return single_formula(answer)
    opened, closed = f"<{response_format.think_tag}>", f"</{response_format.think_tag}>"
    body = text.rpartition(closed)[2]
    tags = (opened, f"<{response_format.answer_tag}>", f"</{response_format.answer_tag}>")
    if not BOXED.search(body) or any(tag in body for tag in tags):
        return None
    return single_formula(body)


def single_formula(text: str) -> str | None:
    r"""Reads a text as one formula; None if it is empty, has several, or is longer than 1000 characters.

    If the text has `\boxed{...}`, the formula is what the box holds; several boxes count only if all hold the same.
    Else it is the whole text, without the `$`, `\(` or `\[` around it.

    Example:
        >>> single_formula("$x + 1$."), single_formula("$5$ or $6$")
        ('x + 1', None)
    """
    if BOXED.search(text):
        boxes = _boxes(text)
        if boxes is None or len({"".join(box.split()) for box in boxes}) != 1:
            return None
        text = boxes[-1]
    text = text.translate(MINUS).strip().removesuffix(".").strip()
    if wrapped := WRAPPED.fullmatch(text):
        text = next(group for group in wrapped.groups() if group is not None).strip()
    if not text or len(text) > MAX_CHARACTERS or DOLLAR.search(text) or "\\(" in text or "\\[" in text:
        return None
    return text


def _boxes(text: str) -> list[str] | None:
    """Lists what the boxes hold; None if one has no braces, or they never close."""
    boxes, position = [], 0
    while box := BOXED.search(text, position):
        end = _closing_brace(text, box.end()) if box["brace"] else None
        if end is None:
            return None
        boxes.append(text[box.end() : end])
        position = end
    return boxes


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for brace in re.finditer(r"\\.|[{}]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return start + brace.start()
    return None


# The grammar of math-verify 0.9 drops a side of these without a word: `4 \cup 5` becomes 5.
LOSSY = ("\\cup", "\\cap", "\\lor", "\\vee", "\\land", "\\wedge", "∪", "∩", "∨", "∧")  # noqa: RUF001

# 1e5 and 1e-05, of which math-verify takes the e for Euler's number; in 2e-1 it may be that.
SCIENTIFIC = re.compile(r"(?<![\w.\\])(\d+\.?\d*|\.\d+)[eE]([+-]?\d{2,3}|\d)(?![\w.])")

WARM_UP = (("\\frac{1}{2}", "0.5"), ("x + 1", "7"), ("\\{1, 2\\}", "x = 5"))  # build the grammar, load most of sympy


class MathGrader:
    r"""Tells whether a formula equals the reference; None if the reference is no formula.

    Example:
        >>> grade = MathGrader()
        >>> grade((r"\frac{1}{2}", "0.5")), grade(("5", "5 or 6"))
        (True, False)
    """

    def __init__(self) -> None:
        self._library: Any = library("math_verify", "`math_accuracy`")
        logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that it has no time limit
        for pair in WARM_UP:
            self(pair)

    def __call__(self, pair: tuple[str, str]) -> bool | None:
        """Grades one pair of reference and answer, both LaTeX without `$`; raises `ValueError` for a bad reference."""
        gold, answer = pair
        if "".join(gold.split()) == "".join(answer.split()):
            return True
        reference = self._parse(gold)
        if reference is None:
            return None
        check_reference(reference)
        if any(sign in answer and sign not in gold for sign in (*LOSSY, *OPERATORS.findall(answer))):
            return False
        formula = self._parse(answer)
        if formula is None or digits_of(formula) > max(2 * digits_of(reference), MOST_DIGITS):
            return False
        if self._is_false(formula):
            return False
        return self._equal(reference, formula)

    def _parse(self, formula: str) -> Any:
        """Reads a formula; None if math-verify cannot read it as a whole, and soon."""
        if is_too_deep(formula):
            return None
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


_TEN = re.compile(
    r"(?:(?:\\times|\\cdot|[*x\u00d7\u00b7])\s*)?10\s*(?:\^|\*\*)\s*\{?\s*-?\s*\d+\s*\}?"
)  # a power of ten
_PLAIN = re.compile(r"[-+]?\s*[\d,.]+|[-+]?\s*\d+\s*/\s*\d+|[-+]?\s*\\[dt]?frac\s*\{\d+\}\s*\{\d+\}")
_TO_DO = re.compile(
    r"[\d)}\]!]\s*(?:[-+*^\u00d7\u00b7\u00f7]|\\times|\\cdot|\\div|\\pm)\s*[-\d({\\\[.]"
    r"|\\(?:sqrt|binom|log|ln|sin|cos|tan|int|sum|prod|lim|gcd|max|min)\b|\d\s*!"
)
_SHARE = re.compile(r"\d\s*(?:/|\u00f7|\\div)\s*\d|\\[dt]?frac")


def is_worked_out(formula: str, gold: str) -> bool:
    r"""Tells a number from a formula whose value is still to be found, where the reference is a plain number.

    Example:
        >>> is_worked_out("75", "75"), is_worked_out("25 * 3", "75"), is_worked_out(r"3 \times 10^5", "300000")
        (True, False, True)
        >>> is_worked_out("25 + 50 = 75", "75"), is_worked_out("10/2", "5"), is_worked_out("1/2", "0.5")
        (True, False, True)
    """
    reference = gold.strip().strip("$").strip()
    if not _PLAIN.fullmatch(reference):
        return True
    said = _TEN.sub("", formula.strip().strip("$").rpartition("=")[2].replace("{,}", ""))
    is_whole = re.fullmatch(r"[-+]?\s*[\d,]+", reference) is not None
    return not (_TO_DO.search(said) or (is_whole and _SHARE.search(said)))

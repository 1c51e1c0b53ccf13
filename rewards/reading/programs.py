"""Reads the program of a response, and the tests of a row."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rewards.reading.responses import ResponseFormat, parse_response

# As CommonMark has it; beyond that a fence may be indented by any width, and stand behind words such as "Program:".
_BLOCK = re.compile(
    r"^(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?:[^`~\n]*:[*_]*[ \t]*)?"
    r"(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[\w+.-]*)[^`\n]*\n(?P<code>.*?)^[ \t]*(?P=fence)[`~]*[ \t]*$",
    re.DOTALL | re.MULTILINE,
)
_PYTHON = re.compile(r"py(?:thon)?[\d.]*", re.IGNORECASE)
_FORMS = (
    'Each test is an assertion against a literal, \'assert add(1, 2) == 3\', or a pair {"input": "1 2\\n", '
    '"output": "3"} of what a program reads and prints.'
)


class CallTest(NamedTuple):
    """What an expression must be worth: the program never sees that value."""

    expression: str
    expected: Any
    by_truth: bool  # whether only its truth counts


class PrintTest(NamedTuple):
    """What a program must print for what it reads."""

    given: str
    output: str


def read_program(text: str, response_format: ResponseFormat, *, block: str = "last") -> str | None:
    r"""Reads a fenced block of Python in the answer, or behind the trace where there are no answer tags.

    Of several it is the `last` one, or the `first` one of a model that goes on with a task of its own; blocks without
    a language, such as an example of the output, count only where none says that it is Python. An answer in tags
    without a block is the program itself. Where there is neither, there is no program.

    Example:
        >>> read_program("<think>Add.</think>```python\nprint(1)\n```", ResponseFormat())
        'print(1)\n'
    """
    response = parse_response(text, response_format)
    close = f"</{response_format.think_tag}>"
    opened = f"<{response_format.think_tag}>" in text and close not in text
    place = response.answer if response.answer is not None else text.rpartition(close)[2]
    fenced = [(match["language"], _code(match)) for match in _BLOCK.finditer(place.replace("\r\n", "\n") + "\n")]
    blocks = [code for language, code in fenced if _PYTHON.fullmatch(language)]
    blocks = blocks or [code for language, code in fenced if not language]
    if blocks and not opened:
        return str(blocks[-1] if block == "last" else blocks[0])
    has_tags = f"<{response_format.answer_tag}>" in text
    return response.answer if has_tags else None


def _code(block: re.Match[str]) -> str:
    """Takes off each line as much of the fence's indent as it has."""
    indent = len(block["indent"])
    return "".join(line[min(indent, len(line) - len(line.lstrip(" \t"))) :] for line in block["code"].splitlines(True))


def read_tests(tests: Any) -> list[CallTest | PrintTest]:
    """Reads the tests of a row.

    Raises:
        ValueError: If one has neither form, or there is none.
    """
    if isinstance(tests, str) or not isinstance(tests, Sequence) or not tests:
        raise ValueError(f"Column `tests` must hold a list of tests, got {tests!r:.120}. {_FORMS}")
    return [_read_test(test) for test in tests]


def _read_test(test: Any) -> CallTest | PrintTest:
    if isinstance(test, Mapping):
        given, output = test.get("input"), test.get("output")
        if isinstance(given, str) and isinstance(output, str):
            return PrintTest(given, output)
    elif isinstance(test, str) and (found := _read_assertion(test)) is not None:
        return found
    raise ValueError(f"Column `tests` holds {test!r:.200}, which is no test. {_FORMS}")


def _read_assertion(text: str) -> CallTest | None:
    try:
        (statement,) = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    if not isinstance(statement, ast.Assert):
        return None
    test = statement.test
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq | ast.Is):
        try:
            return CallTest(ast.unparse(test.left), ast.literal_eval(test.comparators[0]), False)
        except ValueError:
            return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
        return CallTest(ast.unparse(test.operand), False, True)
    return CallTest(ast.unparse(test), True, True) if isinstance(test, ast.Call) else None


def is_met(test: CallTest, value: str | None) -> bool:
    """Compares the `repr` of a value, which the program may have made up, with what it must be worth."""
    if value is None:
        return False
    try:
        found = set() if value == "set()" else ast.literal_eval(value)
    except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
        return False
    if test.by_truth:
        return bool(found) is test.expected
    return bool(found == test.expected)


def prints_alike(printed: str, output: str) -> bool:
    """Compares what was printed line by line; spaces at the ends of lines and empty lines at the end do not count."""
    return [line.rstrip() for line in printed.rstrip().split("\n")] == [
        line.rstrip() for line in output.rstrip().split("\n")
    ]

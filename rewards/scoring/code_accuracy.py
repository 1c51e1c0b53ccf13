import ast
import logging
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text, parse_response
from rewards.running.isolated.programs import (
    NotRunError,
    ProgramEnd,
    ProgramLimits,
    ProgramRun,
    check_limits,
    closed_prefixes,
    run_programs,
    why_not_isolated,
)

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
    """Reads the tests of a row; raises `ValueError` if one has neither form, or there is none."""
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


logger = logging.getLogger(__name__)
_ISOLATION, _BLOCKS = ("namespaces", "none"), ("last", "first")
Test = CallTest | PrintTest


class CodeAccuracy:
    """Rewards a Python program that passes the tests of its row with 1.0, any other and none with 0.0.

    Tests are assertions against literals, `assert add(1, 2) == 3`, of which only `add(1, 2)` is evaluated beside the
    program and its value compared here, so that no program can find out, or patch, what it is compared with; or pairs
    of what a program reads and prints. Each program runs in Linux namespaces of its own: without network and keys,
    with the machine's Python read-only and an empty `/tmp`, and with limits. A program over a limit failed, also
    behind its last value or line, where a second and a half must do for what is left; one that the machine could not
    run is None. Their shares are logged as `code_accuracy/limit_rate` and `code_accuracy/error_rate`.

    What tests do not ask is not rewarded, and a value is compared by its `repr`: an object that is no literal equals
    nothing, and a number is compared exactly.

    Args:
        partial: Whether the share of tests that are passed is the reward.
        seconds: Of computing per program, or per pair of input and output; four times as much by all its processes and
            with sleep. A wait for a busy machine does not count.
        memory_mb: Of a program's processes together.
        disk_mb: Of its folder.
        output_kb: Of what it prints.
        processes: At the same time.
        workers: Programs at a time.
        block: Which one counts of several fenced blocks, `last` or `first`.
        isolation: `namespaces`, or `none`: limits only, with your files and network open to every program.
    """

    __name__ = "code_accuracy"

    def __init__(
        self,
        partial: bool = False,
        seconds: float = ProgramLimits().seconds,
        memory_mb: int = ProgramLimits().memory_mb,
        disk_mb: int = ProgramLimits().disk_mb,
        output_kb: int = ProgramLimits().output_kb,
        processes: int = ProgramLimits().processes,
        workers: int = 2,
        block: str = "last",
        isolation: str = "namespaces",
        response_format: ResponseFormat = DEFAULT_FORMAT,
    ) -> None:
        self.limits = ProgramLimits(seconds, memory_mb, disk_mb, output_kb, processes)
        check_limits(self.limits)
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise ValueError(f"`workers` must be a whole number above 0, got {workers!r}.")
        for name, value, known in (("isolation", isolation, _ISOLATION), ("block", block, _BLOCKS)):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(known)}, got {value!r}.")
        self.partial, self.workers, self.isolation, self.block = partial, workers, isolation, block
        self.response_format = response_format

    def __call__(
        self,
        completions: Sequence[Completion],
        tests: Sequence[Any],
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Scores completions; a row whose `tests` are None is skipped.

        `log_metric` gets the shares of programs over a limit, and of those that could not be run. Raises `ValueError`
        if tests have no form that is known, `RuntimeError` if programs cannot be isolated here.
        """
        self._require_isolation()
        known = [None if each is None else read_tests(each) for each in tests]
        programs = [
            read_program(completion_text(text), self.response_format, block=self.block) for text in completions
        ]
        runs = [
            (row, run)
            for row, (program, own) in enumerate(zip(programs, known, strict=True))
            if program is not None and own is not None
            for run in _runs(program, own)
        ]
        isolated = self.isolation == "namespaces"
        ends = run_programs([run for _, run in runs], self.limits, isolated=isolated, workers=self.workers)
        by_row: dict[int, list[ProgramEnd | NotRunError]] = {row: [] for row in range(len(programs))}
        for (row, _), end in zip(runs, ends, strict=True):
            by_row[row].append(end)
        self._log([end for each in by_row.values() for end in each], log_metric)
        return [None if own is None else self._score(own, by_row[row]) for row, own in enumerate(known)]

    def _require_isolation(self) -> None:
        if self.isolation == "namespaces" and (why := why_not_isolated()):
            remedy = (
                "It needs Linux 5.12 with user namespaces, which containers often forbid: try `unshare --user --net "
                "true` there, and start them with `--security-opt seccomp=unconfined`. `isolation: none` runs "
                "programs that nobody has read with limits only: they can then read your files and use your network."
            )
            if os.geteuid() == 0 and (closed := closed_prefixes()):
                opens = f"chmod -R go+rX {shlex.join(closed)}"
                remedy = f"For root a user without rights runs them, who cannot read this Python: `{opens}` opens it."
            raise RuntimeError(f"`code_accuracy` cannot isolate programs on this machine ({why}). {remedy}")

    def _score(self, tests: Sequence[Test], ends: Sequence[ProgramEnd | NotRunError]) -> float | None:
        if any(isinstance(end, NotRunError) for end in ends):
            return None
        passed = _passed(tests, [end for end in ends if isinstance(end, ProgramEnd)])
        return sum(passed) / len(tests) if self.partial else float(all(passed))

    def _log(self, ends: Sequence[ProgramEnd | NotRunError], log_metric: Callable[[str, float], None] | None) -> None:
        failed = [end for end in ends if isinstance(end, NotRunError)]
        for error in dict.fromkeys(map(str, failed)):
            logger.warning("`code_accuracy` could not run a program: %s. The row gets no reward.", error)
        if log_metric is not None:
            over = sum(isinstance(end, ProgramEnd) and end.ended != "exit" for end in ends)
            log_metric("code_accuracy/limit_rate", over / max(len(ends), 1))
            log_metric("code_accuracy/error_rate", len(failed) / max(len(ends), 1))


def _runs(program: str, tests: Sequence[Test]) -> list[ProgramRun]:
    calls = tuple(test.expression for test in tests if isinstance(test, CallTest))
    prints = [ProgramRun(program, None, *test) for test in tests if isinstance(test, PrintTest)]
    return [*([ProgramRun(program, calls)] if calls else []), *prints]


def _passed(tests: Sequence[Test], ends: Sequence[ProgramEnd]) -> list[bool]:
    """Says which tests are passed; without a program none is."""
    if not ends:
        return [False] * len(tests)
    calls = [test for test in tests if isinstance(test, CallTest)]
    prints = [test for test in tests if isinstance(test, PrintTest)]
    found = [is_met(test, ends[0].values.get(place)) for place, test in enumerate(calls)]
    of_prints = ends[1:] if calls else ends
    return found + [
        end.ended == "exit" and end.code == 0 and prints_alike(end.printed, test.output)
        for test, end in zip(prints, of_prints, strict=True)
    ]


code_accuracy = CodeAccuracy()

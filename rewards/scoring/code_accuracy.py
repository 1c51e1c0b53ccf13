import logging
from collections.abc import Callable, Sequence
from typing import Any

from rewards.reading.programs import CallTest, PrintTest, is_met, prints_alike, read_program, read_tests
from rewards.reading.responses import DEFAULT_FORMAT, Completion, ResponseFormat, completion_text
from rewards.running.isolated.programs import (
    NotRunError,
    ProgramEnd,
    ProgramLimits,
    ProgramRun,
    check_limits,
    run_programs,
    why_not_isolated,
)

logger = logging.getLogger(__name__)
_ISOLATION, _BLOCKS = ("namespaces", "none"), ("last", "first")
Test = CallTest | PrintTest


class CodeAccuracy:
    """Rewards a Python program that passes the tests of its row with 1.0, any other and none with 0.0.

    Tests are assertions against literals, `assert add(1, 2) == 3`, of which only `add(1, 2)` is evaluated beside the
    program and its value compared here, so that no program can find out, or patch, what it is compared with; or pairs
    of what a program reads and prints. Each program runs in Linux namespaces of its own: without network and keys,
    with the machine's Python read-only and an empty `/tmp`, and with limits. A program over a limit failed; one that
    the machine could not run is None. Their shares are logged as `code_accuracy/limit_rate` and
    `code_accuracy/error_rate`.

    What tests do not ask is not rewarded, and a value is compared by its `repr`: an object that is no literal equals
    nothing, and a number is compared exactly.

    Args:
        partial: Whether the share of tests that are passed is the reward.
        seconds: Of computing per program, or per pair of input and output; four times as long by the clock.
        memory_mb: Of a program's processes together.
        disk_mb: Of its folder.
        output_kb: Of what it prints.
        processes: At the same time.
        workers: Programs at a time.
        block: Which one counts of several fenced blocks, `last` or `first`.
        isolation: `namespaces`, or `none`: limits only, with your files and network open to every program.
        response_format: Tags of the response.

    Raises:
        ValueError: If a limit is not above 0, or there is no such isolation, or this machine has none.
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

        Args:
            completions: The responses, plain or conversational.
            tests: The tests per row.
            log_metric: TRL's; gets the shares of programs over a limit, and of those that could not be run.
            **kwargs: Other columns, not used.

        Raises:
            ValueError: If tests have no form that is known.
            RuntimeError: If programs cannot be isolated here.
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
            raise RuntimeError(
                f"`code_accuracy` cannot isolate programs on this machine ({why}). It needs Linux 5.12 with user "
                "namespaces, which containers often forbid: try `unshare --user --net true` there, and start them "
                "with `--security-opt seccomp=unconfined`. `isolation: none` runs programs that nobody has read with "
                "limits only: they can then read your files and use your network."
            )

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
    """Lists what to run: one run for all expressions, and one for each input."""
    calls = tuple(test.expression for test in tests if isinstance(test, CallTest))
    prints = [ProgramRun(program, None, test.given) for test in tests if isinstance(test, PrintTest)]
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

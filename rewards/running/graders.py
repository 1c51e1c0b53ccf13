import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from rewards.extras import require
from rewards.running import worker
from rewards.running.workers import WorkerPool

logger = logging.getLogger(__name__)
LogMetric = Callable[[str, float], None]


class Graders:
    """Grades items with a grader that each worker process makes once, before the clock of a call starts.

    A limit of the library itself would work on the main thread only, if at all, and an item that is cut off must not
    look like a wrong answer: one that takes too long, or breaks the grader, is None. Their shares are logged as
    `<name>/timeout_rate` and `<name>/error_rate`. `extra` brings the grader's library, `make` makes a function of one
    item and is importable, `timeout` is in seconds for one item, and `memory_gb` is each worker's address space.
    Raises `ValueError` if a setting is not above 0.
    """

    def __init__(
        self,
        name: str,
        extra: str,
        make: Callable[[], Callable[[Any], Any]],
        timeout: float,
        workers: int,
        memory_gb: float,
    ) -> None:
        for setting, value in (("timeout", timeout), ("workers", workers), ("memory_gb", memory_gb)):
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise ValueError(f"`{setting}` must be a finite number above 0, got {value!r}.")
        if not isinstance(workers, int):
            raise ValueError(f"`workers` must be a whole number, got {workers!r}.")
        self.name, self.timeout, self.workers, self.memory_gb = name, timeout, workers, memory_gb
        self._extra, self._make = extra, make
        self._pool: WorkerPool | None = None
        self._grader: Callable[[Any], Any] | None = None

    def grade(self, items: Sequence[Any], describe: Callable[[Any], str], log_metric: LogMetric | None) -> list[Any]:
        """Grades items; None stands for one without a verdict, which is described in a warning."""
        if self._grader is not None:  # whoever started this worker limits the time, and counts what goes wrong
            return [self._grader(item) for item in items]
        if self._pool is None:
            require(self._extra, f"`{self.name}`")
            grader = _InWorker(self._make)
            self._pool = WorkerPool(grader, workers=self.workers, timeout=self.timeout, memory_gb=self.memory_gb)
        outcomes = self._pool.map(items)
        timeouts = sum(outcome.failure == "timeout" for outcome in outcomes)
        errors = sum(outcome.failure is not None for outcome in outcomes) - timeouts
        if log_metric is not None:
            log_metric(f"{self.name}/timeout_rate", timeouts / max(len(items), 1))
            log_metric(f"{self.name}/error_rate", errors / max(len(items), 1))
        for item, outcome in zip(items, outcomes, strict=True):
            if outcome.failure is not None:
                logger.warning(
                    "`%s` could not %s: %s. The row gets no reward.", self.name, describe(item), outcome.message
                )
        return [outcome.value for outcome in outcomes]

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_pool": None, "_grader": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Loads the library at once in a worker process, before the clock of a call starts."""
        self.__dict__.update(state)
        if worker.in_worker:
            self._grader = self._make()


class _InWorker:
    """Stands for a grader until a worker process unpickles it."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self.make = make

    def __call__(self, item: Any) -> Any:
        return self.make()(item)

    def __reduce__(self) -> tuple[Callable[[], Callable[[Any], Any]], tuple[()]]:
        return self.make, ()

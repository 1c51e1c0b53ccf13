"""Rewards that cannot stop training: a hang, a crash or a wrong value is one row without a reward, and is counted."""

import asyncio
import contextlib
import inspect
import logging
import os
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

from rewards.running.contract.effects import changed_settings, torch_settings, working_folder
from rewards.running.protocol import TRAINER_ARGUMENTS, is_async, reads_whole_batch, reward_name
from rewards.running.scores import FAILURES, LEFT_OUT, Score, failed_scores, read_scores
from rewards.running.worker import describe_error, end_if_copied
from rewards.running.workers import Outcome, WorkerError, WorkerPool


class Call(NamedTuple):
    """The columns of some rows, each a list of `size` values, and the trainer's state."""

    columns: dict[str, Any]
    state: Any
    size: int

    def arguments(self, logs: "Logs") -> dict[str, Any]:
        """Lists the keyword arguments of TRL's call."""
        return self.columns | {"trainer_state": self.state, "log_extra": logs.extra, "log_metric": logs.metric}


class Logs:
    """What rewards log during a call; it is handed on when the call has ended well."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.columns: dict[str, list[Any]] = {}
        self.metrics: dict[str, list[float]] = defaultdict(list)

    def extra(self, column: str, values: Sequence[Any]) -> None:
        """Takes a column of the completions table, which must have a value per row: TRL would mix up the rows."""
        if len(values) != self.size:
            raise ValueError(f"`log_extra` got {len(values)} values of {column!r} for {self.size} completions.")
        self.columns[column] = list(values)

    def metric(self, name: str, value: float) -> None:
        """Takes a number; the trainer averages those of a name."""
        self.metrics[name].append(float(value))

    def hand_on(self, log_extra: Callable[..., Any] | None, log_metric: Callable[..., Any] | None) -> None:
        """Logs everything with the trainer's own functions."""
        for column, values in self.columns.items():
            if log_extra is not None:
                log_extra(column, values)
        for name, numbers in self.metrics.items():
            for number in numbers:
                if log_metric is not None:
                    log_metric(name, number)


class GuardedCalls:
    """Runs in a worker: calls the reward of an index, and returns its values with what it logged.

    What goes through the pipe is kept to plain tuples: a class would be looked up once for every completion.
    """

    def __init__(self, funcs: list[Callable[..., Any]]) -> None:
        self.funcs = funcs

    def __call__(self, sent: "Sent") -> Any:
        """Calls a reward on one row, or on a batch."""
        index, names, values, state, size = sent
        columns = dict(zip(names, values if size else ([value] for value in values), strict=True))
        logs = Logs(size or 1)
        found = self.funcs[index](**Call(columns, state, logs.size).arguments(logs))
        scores = read_scores(found, logs.size, 0.0)
        return [tuple(score) for score in scores], logs.columns or None, dict(logs.metrics) or None


Sent = tuple[int, tuple[str, ...], Sequence[Any], Any, int]  # reward, columns, values, state; 0 for one row, or size


def batch_call(given: Mapping[str, Any], row: int | None = None) -> Call:
    """Takes all rows, or one, out of TRL's keyword arguments."""
    columns = _columns(given)
    if row is None:
        return Call(columns, given.get("trainer_state"), len(given["completions"]))
    return Call({name: [values[row]] for name, values in columns.items()}, given.get("trainer_state"), 1)


def chosen_rows(given: Mapping[str, Any], rows: Sequence[int]) -> dict[str, Any]:
    """Takes some rows out of TRL's keyword arguments, in this order."""
    columns = {name: [values[row] for row in rows] for name, values in _columns(given).items()}
    return columns | {"trainer_state": given.get("trainer_state")}


def sent_rows(index: int, given: Mapping[str, Any]) -> list[Sent]:
    """Makes a call for a worker out of every row."""
    columns, state = _columns(given), _plain_state(given)
    names = tuple(columns)
    return [(index, names, values, state, 0) for values in zip(*columns.values(), strict=True)]


def _columns(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in given.items() if name not in TRAINER_ARGUMENTS}


def _plain_state(given: Mapping[str, Any]) -> SimpleNamespace:
    """Reduces the trainer's state to its plain values: to unpickle it, a worker would load all of transformers."""
    kinds = (int, float, str, bool, type(None))
    state = given.get("trainer_state") or SimpleNamespace()
    return SimpleNamespace(**{name: value for name, value in vars(state).items() if isinstance(value, kinds)})


def join_outcomes(outcomes: Sequence[Outcome], sizes: Sequence[int]) -> tuple[list[Score], Logs]:
    """Joins the outcomes of calls on successive rows; columns that only some of them logged are None elsewhere."""
    scores: list[Score] = []
    logs = Logs(sum(sizes))
    for outcome, size in zip(outcomes, sizes, strict=True):
        if outcome.failure is None:
            found, columns, metrics = outcome.value
            for column, values in (columns or {}).items():
                logs.columns.setdefault(column, [None] * logs.size)[len(scores) : len(scores) + size] = values
            for name, numbers in (metrics or {}).items():
                logs.metrics[name] += numbers
            seconds = outcome.seconds / max(size, 1)
            scores += [Score(value, failure, message, seconds) for value, failure, message, _ in found]
        else:
            scores += failed_scores(outcome.failure, outcome.message, size, outcome.seconds)
    return scores, logs


def spread_out(rows: Sequence[int], size: int, scores: Sequence[Score], logs: Logs) -> tuple[list[Score], Logs]:
    """Puts the scores of some rows, and the columns they logged, to their places among all."""
    places = {row: place for place, row in enumerate(rows)}
    whole = Logs(size)
    whole.metrics = logs.metrics
    for column, values in logs.columns.items():
        whole.columns[column] = [values[places[row]] if row in places else None for row in range(size)]
    return [scores[places[row]] if row in places else Score(None, LEFT_OUT) for row in range(size)], whole


ON_INVALID = ("raise", "skip", "zero")
ASYNC_CALLS_AT_ONCE = 64
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GuardSettings:
    """How rewards are called."""

    workers: int = 0  # that share a batch; with 0 a function that hangs in this process cannot be stopped
    timeout: float | None = None  # seconds for one completion, from the moment its call starts; None sets no limit
    memory_gb: float | None = None  # limit of a worker's address space in GiB
    on_invalid: str = "skip"  # `skip` and `raise` give None, which the trainer raises for on all ranks; `zero` 0.0

    def __post_init__(self) -> None:
        if self.on_invalid not in ON_INVALID:
            raise ValueError(f"`on_invalid` must be one of {', '.join(ON_INVALID)}; got {self.on_invalid!r}.")
        if self.workers < 0:
            raise ValueError(f"`workers` must be at least 0, got {self.workers}.")


class GuardedReward:
    """A reward that answers every row, with a number or None, and never raises.

    It is called as TRL calls rewards. In this process the reward gets the whole batch, as without a guard; if that
    call raises, it is repeated row by row to find the rows that are to blame. In workers it gets one row at a time,
    each with its own time limit, unless it says `whole_batch = True`: then one worker gets the batch, and the limit is
    that of all its rows. A coroutine function is awaited in this process, one row at a time if there is a limit.

    `pool` is shared with other rewards. Rows that are `left_out` of calls to come need no reward: they are 0.0, and
    the reward is not asked about them unless it reads whole batches.
    """

    def __init__(
        self, func: Callable[..., Any], settings: GuardSettings | None = None, pool: "SharedPool | None" = None
    ) -> None:
        self.__name__ = reward_name(func)
        self.__signature__ = inspect.signature(func)
        self.settings = settings or GuardSettings()
        self.left_out: Collection[int] = ()
        self._func = func
        self._pool = pool or SharedPool([func], self.settings)
        self._scores: list[Score] = []
        self._workers: list[int | None] = []  # that scored the rows of the last call, where they went to workers

    def __call__(self, **given: Any) -> Any:
        """Scores completions; what went wrong is in `take_scores`."""
        asked, rows = self._asked(given)
        size = len(rows)
        if self.settings.workers == 0:
            return self._finish(given, rows, *self._call_here(asked, size))
        index = self._pool.index(self._func)
        if reads_whole_batch(self._func):
            columns = _columns(asked)
            batch = index, tuple(columns), list(columns.values()), _plain_state(asked), size
            outcomes, sizes = self._pool.map([batch], self._batch_limit(size)), [size]
        else:
            outcomes, sizes = self._pool.map(sent_rows(index, asked)), [1] * size
            scored_by = dict(zip(rows, (outcome.worker for outcome in outcomes), strict=True))
            self._workers = [scored_by.get(row) for row in range(len(given["completions"]))]
        return self._finish(given, rows, *join_outcomes(outcomes, sizes))

    def score_again(self, given: Mapping[str, Any], rows: Sequence[int]) -> Any:
        """Scores rows of the last call again, in this order, in another worker if there are two; logs nothing."""
        chosen = chosen_rows(given, rows)
        if self.settings.workers == 0:
            return self._call_here(chosen, len(rows))[0]
        not_by = [self._workers[row] for row in rows]
        outcomes = self._pool.map(sent_rows(self._pool.index(self._func), chosen), not_by=not_by)
        return join_outcomes(outcomes, [1] * len(rows))[0]

    def __getattr__(self, name: str) -> Any:
        """Looks up what the guard lacks on the reward itself, such as `needs_second_answer`."""
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._func, name)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._func, self.settings)

    def take_scores(self) -> list[Score]:
        """Returns the rows scored since the last call of this, with failures and seconds, and forgets them."""
        scores, self._scores = self._scores, []
        return scores

    def close(self) -> None:
        """Ends the workers; the next call would start new ones."""
        self._pool.close()

    def _asked(self, given: Mapping[str, Any]) -> tuple[Mapping[str, Any], Sequence[int]]:
        rows: Sequence[int] = range(len(given["completions"]))
        if not self.left_out or reads_whole_batch(self._func):
            return given, rows
        rows = [row for row in rows if row not in self.left_out]
        return chosen_rows(given, rows), rows

    def _call_here(self, given: Mapping[str, Any], size: int) -> tuple[list[Score], Logs]:
        if not size:
            return join_outcomes([], [])
        outcome = _outcome_here(self._func, batch_call(given))
        if outcome.failure is None or reads_whole_batch(self._func):
            return join_outcomes([outcome], [size])
        rows = [_outcome_here(self._func, batch_call(given, row)) for row in range(size)]
        return join_outcomes(rows, [1] * size)

    def _batch_limit(self, size: int) -> float | None:
        return self.settings.timeout and self.settings.timeout * max(size, 1)

    def _finish(
        self, given: Mapping[str, Any], rows: Sequence[int], scores: list[Score], logs: Logs
    ) -> list[float | None]:
        scores, logs = spread_out(rows, len(given["completions"]), scores, logs)
        logs.hand_on(given.get("log_extra"), given.get("log_metric"))
        self._scores += scores
        zeros = (LEFT_OUT, *FAILURES) if self.settings.on_invalid == "zero" else (LEFT_OUT,)
        return [0.0 if score.failure in zeros else score.value for score in scores]


class AsyncGuardedReward(GuardedReward):
    """A `GuardedReward` around a coroutine function; TRL awaits it."""

    async def __call__(self, **given: Any) -> Any:
        """Awaits the scores of completions; what went wrong is in `take_scores`."""
        asked, rows = self._asked(given)
        return self._finish(given, rows, *await self._awaited(asked))

    async def score_again(self, given: Mapping[str, Any], rows: Sequence[int]) -> Any:
        """Scores some rows of the last call again; nothing is logged or kept."""
        return (await self._awaited(chosen_rows(given, rows)))[0]

    async def _awaited(self, given: Mapping[str, Any]) -> tuple[list[Score], Logs]:
        size, whole = len(given["completions"]), reads_whole_batch(self._func)
        if not size:
            return join_outcomes([], [])
        if whole or self.settings.timeout is None:
            outcome = await _awaited_outcome(self._func, batch_call(given), self._batch_limit(size))
            if whole or outcome.failure is None:
                return join_outcomes([outcome], [size])
        turns = asyncio.Semaphore(ASYNC_CALLS_AT_ONCE)

        async def in_turn(row: int) -> Outcome:
            async with turns:
                return await _awaited_outcome(self._func, batch_call(given, row), self.settings.timeout)

        outcomes = await asyncio.gather(*(in_turn(row) for row in range(size)))
        return join_outcomes(outcomes, [1] * size)


def guard_rewards(funcs: Sequence[Callable[..., Any]], settings: GuardSettings) -> list[GuardedReward]:
    """Guards rewards; they share one pool of workers, which starts with their first call."""
    pool = SharedPool([func for func in funcs if not is_async(func)], settings)
    return [(AsyncGuardedReward if is_async(func) else GuardedReward)(func, settings, pool) for func in funcs]


class SharedPool:
    """The workers of several rewards, started by the first call of any."""

    def __init__(self, funcs: Sequence[Callable[..., Any]], settings: GuardSettings) -> None:
        self.funcs = list(funcs)
        self.settings = settings
        self._pool: WorkerPool | None = None

    def index(self, func: Callable[..., Any]) -> int:
        """Returns the place of a reward."""
        return next(place for place, other in enumerate(self.funcs) if other is func)

    def map(
        self, calls: Sequence[Sent], timeout: float | None = None, not_by: Sequence[int | None] = ()
    ) -> list[Outcome]:
        """Calls rewards in the workers; workers that cannot be started are an error of every row."""
        try:
            if self._pool is None:
                workers, limit, memory_gb = self.settings.workers, self.settings.timeout, self.settings.memory_gb
                calling = GuardedCalls(self.funcs)
                self._pool = WorkerPool(calling, workers=workers, timeout=limit, memory_gb=memory_gb)
            return self._pool.map(calls, timeout=timeout, not_by=not_by)
        except WorkerError as error:
            self.close()
            return [Outcome(None, "error", str(error))] * len(calls)

    def close(self) -> None:
        """Ends the workers."""
        if self._pool is not None:
            self._pool.close()
        self._pool = None


def _outcome_here(func: Callable[..., Any], call: Call) -> Outcome:
    owner, started, logs = os.getpid(), time.perf_counter(), Logs(call.size)
    try:
        with training_as_it_was(reward_name(func)):
            scores = read_scores(func(**call.arguments(logs)), call.size, 0.0)
    except (Exception, SystemExit, GeneratorExit) as error:
        end_if_copied(owner)
        return Outcome(None, "error", describe_error(error), time.perf_counter() - started)
    end_if_copied(owner)  # else two processes would train
    return Outcome((scores, logs.columns, logs.metrics), seconds=time.perf_counter() - started)


async def _awaited_outcome(func: Callable[..., Any], call: Call, timeout: float | None) -> Outcome:
    started, logs = time.perf_counter(), Logs(call.size)
    try:
        async with asyncio.timeout(timeout) as limit:
            scores = read_scores(await func(**call.arguments(logs)), call.size, 0.0)
    except Exception as error:
        seconds = time.perf_counter() - started
        if isinstance(error, TimeoutError) and limit.expired():
            return Outcome(None, "timeout", f"no result after {timeout:g} s", seconds)
        return Outcome(None, "error", describe_error(error), seconds)
    return Outcome((scores, logs.columns, logs.metrics), seconds=time.perf_counter() - started)


@contextlib.contextmanager
def training_as_it_was(reward: str) -> Iterator[None]:
    """Puts back the settings of torch and the working folder, and says what a reward did to them."""
    folder, before = working_folder(), torch_settings()
    try:
        yield
    finally:
        for _, seen in changed_settings(before, torch_settings()):
            logger.warning("Reward `%s` changed settings of torch, put back: %s.", reward, seen["names"])
        if working_folder() != folder:
            logger.warning("Reward `%s` changed the working folder to %s, put back.", reward, working_folder())
            with contextlib.suppress(OSError):  # it may have been deleted
                os.chdir(folder)

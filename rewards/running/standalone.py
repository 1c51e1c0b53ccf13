"""A guarded reward outside our own trainers: in somebody's script, and in a file that another framework loads."""

import logging
import pickle
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from rewards.reading.responses import completion_text
from rewards.running.guard import AsyncGuardedReward, GuardedReward, GuardSettings, Logs
from rewards.running.protocol import is_async, reads_whole_batch, result_of, reward_name
from rewards.running.scores import LEFT_OUT, Score

PLAIN = (str, int, float, bool, list, tuple, dict, type(None))
logger = logging.getLogger(__name__)
Waiting = tuple[Mapping[str, Any], "Future[Score]"]


def guard(
    func: Callable[..., Any],
    *,
    timeout: float | None = None,
    workers: int | None = None,
    memory_gb: float | None = None,
    on_invalid: str = "skip",
) -> "StandaloneReward":
    """Guards a reward as a run of `align train` does; the result is a reward function as TRL calls it.

    A row whose reward raises, hangs, dies or is no finite number is None, and so is every row of a call that returns
    the wrong number of values: TRL trains on the others. The first failure of each kind is logged with its row, and
    `rewards/NAME/invalid_share` goes to TRL's log.

    Args:
        func: A reward function, or a coroutine function.
        timeout: Seconds for one completion.
        workers: Processes that call it, one completion at a time; by default 1 where `timeout` or `memory_gb` needs
            one, else 0: whole batches in this process.
        memory_gb: Address space of a worker in GiB.
        on_invalid: What such a row becomes: None (`skip`), 0.0 (`zero`), or a ValueError (`raise`).

    Raises:
        TypeError: If `func` is no function.
        ValueError: If a setting is outside its range, or a worker could not find the function.

    Example:
        >>> def careless(completions, **kwargs):
        ...     return [1 / len(text) for text in completions]
        >>> guard(careless)(prompts=["q"] * 2, completions=["four", ""])
        [0.25, None]
    """
    if isinstance(func, type) or not callable(func):
        what = f"the class `{func.__name__}`" if isinstance(func, type) else repr(func)
        raise TypeError(
            f"`guard` takes a reward function, got {what}. Give the function, or an instance of the class; "
            "`rewards.resolve_reward(...)` makes one of a name or of `file.py:name`."
        )
    for name, limit in (("timeout", timeout), ("memory_gb", memory_gb)):
        if limit is not None and not limit > 0:
            raise ValueError(f"`{name}` must be above 0, got {limit}. Use None for no limit.")
    needs_worker = not is_async(func) and (timeout is not None or memory_gb is not None)
    settings = GuardSettings(int(needs_worker) if workers is None else workers, timeout, memory_gb, on_invalid)
    if needs_worker and settings.workers == 0:
        raise ValueError(
            f"`workers` must be at least 1 with `timeout` or `memory_gb`, got {workers}: a plain function cannot be "
            "stopped in this process. Leave `workers` out, or the limit."
        )
    if settings.workers and not is_async(func):
        _check_found_elsewhere(func)
    return (AsyncStandaloneReward if is_async(func) else StandaloneReward)(func, settings)


def _check_found_elsewhere(func: Callable[..., Any]) -> None:
    why = "it is defined in the script itself" if getattr(func, "__module__", "") == "__main__" else ""
    try:
        pickle.dumps(func)
    except Exception as error:  # what pickling raises depends on what is pickled
        why = why or f"it cannot be pickled ({error})"
    if why:
        raise ValueError(
            f"`timeout`, `workers` and `memory_gb` need workers, which cannot load `{reward_name(func)}`: {why}. "
            "Define it by `def` in a file of its own and import it from there, or leave them out."
        )


def text_of(completion: Any) -> str:
    """Reads the last message, also of a framework that has a class for messages; none is an empty text."""
    if isinstance(completion, list):
        completion = [each.model_dump() if hasattr(each, "model_dump") else each for each in completion[-1:]]
    return completion_text(completion) if completion else ""


class StandaloneReward(GuardedReward):
    """A `GuardedReward` that says itself what went wrong, and may be asked about single rows from any thread."""

    def __init__(self, func: Callable[..., Any], settings: GuardSettings | None = None) -> None:
        super().__init__(func, settings)
        self._told: set[str] = set()
        self._waiting: list[Waiting] = []
        self._appending, self._calling = threading.Lock(), threading.Lock()

    def score_one(self, completion: Any, columns: Mapping[str, Any], prompt: Any = "") -> Score:
        """Scores one completion; rows that other threads ask about meanwhile are scored together, by all workers.

        Args:
            completion: A text, or a list of messages, of which the reward gets the last one's text.
            columns: What the reward reads beside it, by name. Values that are no plain data, such as an object of a
                framework, are left out.
            prompt: As `completion`.

        Raises:
            ValueError: If the reward compares the completions of a batch, which would be whatever rows wait together.
        """
        if reads_whole_batch(self):
            raise ValueError(
                f"`{self.__name__}` compares the completions of a batch (`whole_batch = True`), and is asked about "
                "one. Call it with all completions of a batch, or give a reward that scores each by itself."
            )
        future: Future[Score] = Future()
        plain = {name: value.tolist() if hasattr(value, "tolist") else value for name, value in columns.items()}
        row = {name: value for name, value in plain.items() if type(value) in PLAIN}
        row |= {"prompts": text_of(prompt), "completions": text_of(completion), "completion_ids": []}
        with self._appending:
            self._waiting.append((row, future))
        with self._calling:
            with self._appending:
                waiting, self._waiting = self._waiting, []
            if waiting:  # else the thread before this one scored the row with its own
                self._score_waiting(waiting)
        return future.result()

    def _score_waiting(self, waiting: Sequence[Waiting]) -> None:
        rows = [row for row, _ in waiting]
        names = dict.fromkeys(name for row in rows for name in row)
        try:
            found: Any = self(**{name: [row.get(name) for row in rows] for name in names})
            values = result_of(found) if is_async(self) else found
            scores = [score._replace(value=value) for score, value in zip(self.take_scores(), values, strict=True)]
        except BaseException as error:  # with `on_invalid: raise`; or this thread ends, and others wait
            for _, future in waiting:
                future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), score in zip(waiting, scores, strict=True):
            future.set_result(score)

    def _finish(
        self, given: Mapping[str, Any], rows: Sequence[int], scores: list[Score], logs: Logs
    ) -> list[float | None]:
        self._scores = []  # of a call whose scores nobody took
        values = super()._finish(given, rows, scores, logs)
        failed = [row for row, score in enumerate(self._scores) if score.failure not in (None, LEFT_OUT)]
        if given.get("log_metric") is not None:
            given["log_metric"](f"rewards/{self.__name__}/invalid_share", len(failed) / max(len(values), 1))
        for row in failed:
            failure, message = str(self._scores[row].failure), self._scores[row].message
            text = (
                f"Reward `{self.__name__}`, {len(failed)} of {len(values)} values of a call are invalid; row {row}, "
                f"{failure}: {message}. Its completion: {given['completions'][row]!r:.300}"
            )
            if self.settings.on_invalid == "raise":
                raise ValueError(f"{text}. Mend the reward, or allow it with `on_invalid='skip'`.")
            if failure not in self._told:
                self._told.add(failure)
                logger.warning("%s. Later ones of this kind are counted and not shown.", text)
        return values


class AsyncStandaloneReward(StandaloneReward, AsyncGuardedReward):
    """A `StandaloneReward` around a coroutine function; TRL awaits it."""

"""One call of a guarded reward: its arguments, what it logs meanwhile, and how a worker runs it."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, NamedTuple

from rewards.running.scores import LEFT_OUT, Score, failed_scores, read_scores
from rewards.running.workers import Outcome

NOT_COLUMNS = ("trainer_state", "log_extra", "log_metric")


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
        """Takes a column of the completions table.

        Raises:
            ValueError: If it has not one value per row: TRL would put the values beside other rows.
        """
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


def sent_batch(index: int, given: Mapping[str, Any]) -> Sent:
    """Makes one call for a worker out of all rows."""
    columns = _columns(given)
    return index, tuple(columns), list(columns.values()), _plain_state(given), len(given["completions"])


def _columns(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, values in given.items() if name not in NOT_COLUMNS}


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

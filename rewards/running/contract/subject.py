"""The reward under test, named so that another process can find it, and how it is called there or here."""

import inspect
import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Protocol

from rewards.catalog import resolve_reward
from rewards.reading.responses import DEFAULT_FORMAT, ResponseFormat
from rewards.running import protocol, worker
from rewards.running.contract.calls import Call, Called, call_watched, seeds_of
from rewards.running.contract.effects import Effect, changed_settings, torch_settings
from rewards.running.contract.leftovers import Baseline, leftovers, take_baseline
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.signature import Parameters, read_literals, read_parameters
from rewards.running.workers import Outcome, WorkerPool

SECONDS_FOR_LEFTOVERS = 10.0
SECONDS_TO_ASK = 120.0
SLOWER_THAN_BEFORE = 4  # times, which is not yet a hang


class Spec(Protocol):
    """What a reward is found by, in whichever process."""

    @property
    def spec(self) -> str:
        """Its name until it is found."""

    def resolve(self) -> Callable[..., Any]:
        """Finds and builds the reward."""


@dataclass(frozen=True)
class RewardSpec:
    """A reward as `resolve_reward` finds it."""

    spec: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    base_dir: Path | str | None = None
    response_format: ResponseFormat = DEFAULT_FORMAT

    def resolve(self) -> Callable[..., Any]:
        """Finds and builds the reward."""
        return resolve_reward(self.spec, self.kwargs, base_dir=self.base_dir, response_format=self.response_format)


class Description(NamedTuple):
    """What is known of a reward without calling it."""

    name: str
    parameters: Parameters
    whole_batch: bool  # whether it says that it compares the completions of a batch
    not_picklable: str  # why it cannot be pickled; empty if it can
    remarks: tuple[RewardProblem, ...] = ()  # what loading it did to the process
    audit_only: bool = False  # whether it says that it is a monitor
    renders_messages: bool = False  # whether it says that it renders messages by a chat template
    asks_a_model: bool = False  # whether its calls are paid for, or waited for
    about: str = ""  # its docstring
    literals: tuple[str | float, ...] = ()  # texts, patterns and numbers in its code
    about_form: bool = False  # whether it says that it is about the form of a response


class Stopped(Exception):
    """A reward that cannot be tried further; the problem says why."""

    def __init__(self, problem: RewardProblem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class LocalSubject:
    """A reward called in this process: quick, and helpless against a hang."""

    def __init__(self, func: Callable[..., Any], baseline: Baseline | None = None) -> None:
        self.func = func
        self.baseline = take_baseline() if baseline is None else baseline

    def describe(self) -> Description:
        """Describes the reward."""
        func = self.func
        try:
            pickle.loads(pickle.dumps(func))
            reason = ""
        except Exception as error:
            reason = str(error)
        name = protocol.reward_name(func)
        about = inspect.getdoc(vars(func).get("_func", func) if hasattr(func, "__dict__") else func) or ""
        return Description(
            name, read_parameters(func), protocol.reads_whole_batch(func), reason, (), protocol.is_audit_only(func),
            protocol.renders_messages(func), protocol.asks_a_model(func),
            about, read_literals(func), protocol.is_about_form(func),
        )  # fmt: skip

    def call(self, call: Call) -> Called:
        """Calls it."""
        return call_watched(self.func, call)

    def seeds(self, call: Call) -> list[RewardProblem]:
        """Says which global seeds it sets."""
        return seeds_of(self.func, call)

    def leftovers(self) -> list[RewardProblem]:
        """Says what is left of it in its process after all calls."""
        return leftovers(protocol.reward_name(self.func), self.baseline)


class Limits(NamedTuple):
    """How long a reward may take, in seconds."""

    call: float = 5.0  # one call, and loading it; the first call has twice as long
    completion: float = 0.0  # more for each completion of a call
    to_load: float = 120.0  # loading it and the first call, as long as they go on reading files

    def of_call(self, completions: int, seconds_each: float = 0.0) -> float:
        """Returns the limit of a call, with room for a reward that took some seconds for each completion before."""
        return max(self.call + self.completion * completions, SLOWER_THAN_BEFORE * seconds_each * completions)


class RemoteSubject:
    """A reward called in a worker process, with a time limit; problems name its `spec` until its name is known."""

    def __init__(self, pool: WorkerPool, index: int, spec: str, limits: Limits) -> None:
        self.pool = pool
        self.index = index
        self.name = spec
        self.limits = limits
        self.is_warm = False
        self.seconds_each = 0.0

    def describe(self) -> Description:
        """Loads and describes the reward; raises `Stopped` if there is none, or loading hangs or ends the process."""
        limit = 2 * self.limits.of_call(0)
        outcome = self._ask("describe", None, limit)
        if outcome.failure == "timeout":
            self._stop("hangs/loading", seconds=max(limit, outcome.seconds))
        if outcome.failure == "died":
            self._stop("dies/loading", error=outcome.message)
        if isinstance(outcome.value, str):
            self._stop("not_found", why=outcome.value)
        self.name = outcome.value.name
        if outcome.value.asks_a_model:
            self.limits = self.limits._replace(call=max(self.limits.call, SECONDS_TO_ASK))
        return outcome.value  # type: ignore[no-any-return]

    def call(self, call: Call) -> Called:
        """Calls it; raises `Stopped` if the call hangs or ends the process."""
        limit = self.limits.of_call(len(call.rows), self.seconds_each) * (1 if self.is_warm else 2)
        called = self._ask("call", call, limit)
        self.is_warm = True
        self.seconds_each = max(self.seconds_each, called.seconds / len(call.rows))
        return called.value  # type: ignore[no-any-return]

    def seeds(self, call: Call) -> list[RewardProblem]:
        """Says which global seeds it sets; raises `Stopped` as `call` does."""
        limit = 2 * self.limits.of_call(len(call.rows), self.seconds_each)
        return self._ask("seeds", call, limit).value  # type: ignore[no-any-return]

    def leftovers(self) -> list[RewardProblem]:
        """Says what is left of it in its process after all calls."""
        outcome = self._ask("leftovers", None, SECONDS_FOR_LEFTOVERS)
        return outcome.value if outcome.failure is None else []

    def _ask(self, what: str, call: Call | None, seconds: float) -> Outcome:
        to_load = None if self.is_warm else self.limits.to_load
        (outcome,) = self.pool.map([(self.index, what, call)], timeout=seconds, to_load=to_load)
        if outcome.failure == "error":
            self._stop(f"raises/{'sent' if 'sent' in outcome.message else 'beside'}", error=outcome.message)
        if call is not None:
            count = len(call.rows)
            on = f"{call.names[-1]}" if count <= 2 and call.names else f"{count} completions"
            if outcome.failure == "timeout":
                self._stop("hangs", seconds=max(seconds, outcome.seconds), on=on)
            if outcome.failure == "died":
                self._stop("dies", on=on, error=outcome.message)
        return outcome

    def _stop(self, fault: str, **seen: Any) -> NoReturn:
        raise Stopped(RewardProblem.of(self.name, fault, **seen))


class Remote:
    """The worker's side: finds each reward when it is first asked for, and answers."""

    def __init__(self, specs: Sequence[Spec]) -> None:
        self.specs = specs
        self.found: dict[int, LocalSubject] = {}

    def __call__(self, question: tuple[int, str, Call | None]) -> Any:
        """Answers one question: a method of `LocalSubject`, with the call that it takes."""
        index, what, call = question
        remarks: list[Effect] = []
        if index not in self.found:
            baseline, before = take_baseline(), torch_settings()
            try:
                func = self.specs[index].resolve()
                func = func.for_trial() if hasattr(func, "for_trial") else func
            except (ValueError, TypeError) as error:
                return str(error)
            remarks = changed_settings(before, torch_settings())
            self.found[index] = LocalSubject(func, baseline)
        answer = getattr(self.found[index], what)(*([] if call is None else [call]))
        if isinstance(answer, Description):
            return answer._replace(
                remarks=tuple(RewardProblem.of(answer.name, fault, **seen) for fault, seen in remarks)
            )
        if isinstance(answer, Called):
            worker.is_last_answer |= answer.problem is not None and "MemoryError" in answer.problem.problem
        return answer

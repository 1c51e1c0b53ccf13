"""Tools and environments in processes of their own: a call that hangs or dies is an error, and the run goes on."""

import functools
import math
import pickle
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from align.tools.named import Spec, find_factory, find_tool, tool_methods
from align.tools.served import COPY, GET, MAKE, PLAIN, Call, Raised, ServedEnvironment, ServedTools, restore
from rewards.running.workers import Outcome, WorkerError, WorkerPool

SECONDS_TO_LOAD = 120.0  # for the first call in a process, as long as it goes on reading files
COSTS_THE_ROW = ("timeout", "died")


@dataclass(frozen=True)
class Limits:
    """What a call may take: seconds, and GiB of address space of its process."""

    seconds: float = 30.0
    memory_gb: float | None = None


class ToolError(RuntimeError):
    """A call without a result; its text is what the model is shown.

    `failure` is `error` (the tool raised), `timeout`, or `died` (its process ended).
    """

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.message)
        self.failure = outcome.failure
        self.seconds = outcome.seconds


class ToolProcess:
    """One process for calls, one at a time; one that hangs, dies or has no memory left is replaced."""

    def __init__(self, served: Callable[[Call], Any], limits: Limits) -> None:
        self.served = served
        self.limits = limits
        self.seed = ""
        self.has_ended = False
        self._pool: WorkerPool | None = None
        self._is_loaded = False

    def start(self) -> None:
        """Starts the process, without waiting for it."""
        if self._pool is None:
            self._pool = WorkerPool(self.served, timeout=self.limits.seconds, memory_gb=self.limits.memory_gb)

    def ask(self, name: str, arguments: Mapping[str, Any] | None = None, question: str = "") -> Any:
        """Calls, and returns the result; raises `ToolError` if there is none."""
        outcome = self._outcome(Call(name, arguments or {}, self.seed, question))
        self.has_ended, self._is_loaded = outcome.ended, not outcome.ended
        if outcome.failure is not None:
            raise ToolError(outcome)
        if isinstance(outcome.value, Raised):
            raise ToolError(outcome._replace(failure="error", message=outcome.value.text))
        return outcome.value

    def close(self) -> None:
        """Ends the process; the next call starts another."""
        if self._pool is not None:
            self._pool.close()
        self._pool, self._is_loaded = None, False

    def _outcome(self, call: Call) -> Outcome:
        started = time.perf_counter()
        try:
            self.start()
            assert self._pool is not None
            return self._pool.map([call], to_load=None if self._is_loaded else SECONDS_TO_LOAD)[0]
        except WorkerError as error:
            self.close()
            return Outcome(None, "died", str(error), time.perf_counter() - started, ended=True)


def guard_tools(
    specs: Sequence[Spec], limits: Limits, serve: Callable[[Any], Callable[[Call], Any]] = ServedTools
) -> list[Callable[..., Any]]:
    """Makes functions that look like the tools, and call them in one process that they share."""
    process = ToolProcess(serve(specs), limits)
    return [_guarded(find_tool(spec), process) for spec in specs]


def _guarded(tool: Callable[..., Any], process: ToolProcess) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return process.ask(tool.__name__, arguments)

    guarded: Any = functools.update_wrapper(call, tool)  # TRL reads signature and docstring, also of a coroutine
    guarded.process = process
    return guarded  # type: ignore[no-any-return]


class GuardedEnvironment:
    """Stands for an instance that lives in a process of its own; each class of environments has a subclass.

    Its methods are those of the environment, and rewards call those that are no tools there, too. Other attributes are
    read there, by name; those of the guard begin with `_guard`. A pickled one is a copy of the instance, so that
    rewards in workers can read it.
    """

    _guard_spec: Any
    _guard_limits: Limits
    _guard_serve: Callable[[Any], Callable[[Call], Any]] = ServedEnvironment
    _guard_rewards: Sequence[str] = ()  # that it gives its rollouts, by name
    _guard_stops = False  # whether it may end a rollout between turns
    _guard_seed = ""  # of the batch, for all instances of a class
    _guard_made = 0
    _guard_pays = False  # while rewards read it: methods return what they return, and not what a model is shown

    def __init__(self) -> None:
        self._guard_process = ToolProcess(type(self)._guard_serve(self._guard_spec), self._guard_limits)
        self._guard_process.start()
        self._guard_over = False  # as it said of the rollout since the last `reset`
        self._guard_lost = ""  # what made this instance, or its reward, unusable since the last `reset`
        self._guard_number: int | str = type(self)._guard_made
        type(self)._guard_made += 1

    def reset(self, **row: Any) -> Any:
        """Begins anew; an environment that cannot costs its row, and the run goes on."""
        self._guard_lost, self._guard_over, self._guard_pays = "", False, False
        self._guard_process.seed = f"{self._guard_seed}/{self._guard_number}"
        observed = self._guard_ask_or_lose("reset", row)
        if observed is None or isinstance(observed, str | list):
            return observed
        self._guard_lost = f"reset: it returned {type(observed).__name__}, and must return None or a text"
        return None

    def _guard_pay(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, float | None]:
        """Rewards a finished rollout; None where it gives none, and for all where it is lost."""
        own: Any = self
        return {name: None if self._guard_lost else own.get_reward() for name in self._guard_rewards}

    def _guard_ask_or_lose(self, name: str, arguments: Mapping[str, Any]) -> Any:
        if self._guard_lost:
            return None
        try:
            return self._guard_ask(name, arguments)
        except ToolError as error:
            self._guard_lost = f"{name}: {error}"
            return None

    def _guard_ask(self, name: str, arguments: Mapping[str, Any] | None = None, question: str = "") -> Any:
        """Asks the instance, which is lost with its process: the next one would hold another, that knows nothing."""
        why = "its process has no memory left"
        try:
            return self._guard_process.ask(name, arguments, question)
        except ToolError as error:
            why = str(error)
            raise
        finally:
            if self._guard_process.has_ended:
                self._guard_lost = f"{name or question}: {why}"

    def __getattr__(self, name: str) -> Any:
        """Reads an attribute of the instance."""
        if name.startswith("__") or "_guard_lost" not in vars(self):  # of Python, or of an instance that is being made
            raise AttributeError(name)
        if self._guard_lost:
            raise AttributeError(f"{name}: the environment is lost ({self._guard_lost})")
        try:
            content = self._guard_ask(name, question=GET)
        except ToolError as error:
            raise AttributeError(str(error)) from error
        return functools.partial(self._guard_call, name) if content is None else pickle.loads(content)

    def _guard_call(self, name: str, *given: Any, **named: Any) -> Any:
        """Calls a method that is no tool, and returns what it does."""
        return self._guard_ask(name, {"given": given, "named": named}, PLAIN)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles as a copy of the instance."""
        return restore, (self._guard_spec, self._guard_ask("", question=COPY))


def guard_environment(spec: Spec, limits: Limits) -> type[GuardedEnvironment]:
    """Makes a class that looks like that of an environment, and whose instances live in processes of their own."""
    kind = environment_class(spec, limits)
    own: dict[str, Any] = {"__doc__": kind.__doc__, "__module__": kind.__module__}
    own |= {"_guard_spec": spec, "_guard_limits": limits}
    own |= {name: guarded_method(method) for name, method in tool_methods(kind).items()}
    if hasattr(kind, "get_reward"):
        own |= {"get_reward": _get_reward, "_guard_rewards": (kind.__name__,)}
    return type(kind.__name__, (GuardedEnvironment,), own)


def environment_class(spec: Spec, limits: Limits) -> type:
    """Finds the class of an environment; what makes its instances is called in another process."""
    find_factory(spec)  # the class can be looked up then
    process = ToolProcess(ServedEnvironment(spec), limits)
    try:
        module, name, _ = process.ask("", question=MAKE)
    except ToolError as error:
        raise ValueError(f"Environment {spec.spec!r} cannot be made: {error}.") from error
    finally:
        process.close()
    return getattr(sys.modules[module], name)


def guarded_method(method: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method that looks like another, and asks the instance."""

    def call(self: GuardedEnvironment, *given: Any, **named: Any) -> Any:
        if self._guard_pays or given:  # a model names what it gives
            return self._guard_call(method.__name__, *given, **named)
        return self._guard_ask(method.__name__, named)

    return functools.update_wrapper(call, method)  # type: ignore[return-value]


def _get_reward(self: GuardedEnvironment) -> float | None:
    """Scores the rollout; None where the environment was lost."""
    value = self._guard_ask_or_lose("get_reward", {})
    if value is None or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    self._guard_lost = f"get_reward: it returned {value!r:.80}, and must return a finite number or None"
    return None

"""What a reward pays for texts: every call of an attack or a measurement, and what failed in them."""

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from rewards.places import Row
from rewards.running.contract import Drain, Limits, LocalSubject, Remote, RemoteSubject, Settings, Spec, Stopped
from rewards.running.contract.calls import call_arguments
from rewards.running.contract.repeats import usable_forms
from rewards.running.contract.samples import Sample
from rewards.running.contract.signature import check_signature
from rewards.running.contract.trial import Form, Trial
from rewards.running.workers import WorkerPool

MOST_STOPS = 3  # texts that hang a reward, or end its process


class Unusable(Exception):
    """A reward that cannot be called; the problems say why."""

    def __init__(self, reward: str, problems: list[str]) -> None:
        super().__init__(" ".join(problems))
        self.reward, self.problems = reward, problems


@contextmanager
def apart(specs: Sequence[Spec], limits: Limits) -> Iterator[list[RemoteSubject]]:
    """Opens rewards in a process that can be killed; raises `WorkerError` if none can be started."""
    limits = limits._replace(completion=max(limits.completion, limits.call / 50))  # a call is for many rows
    with Drain() as drain, WorkerPool(Remote(specs), output=drain.inlet) as pool:
        yield [RemoteSubject(pool, i, spec.spec, limits) for i, spec in enumerate(specs)]


def begin(subject: LocalSubject | RemoteSubject, settings: Settings) -> tuple[Trial, Form]:
    """Loads a reward and finds the form in which it takes completions; raises `Unusable`."""
    try:
        trial = Trial(subject, settings)
        first = trial.answers(1)
        arguments = call_arguments(trial.make_call(first[:1], settings.form or "text").rows, ["yes"])
        if problems := check_signature(trial.name, trial.description.parameters, list(arguments)):
            raise Unusable(trial.name, list(map(str, problems)))
        forms, _ = usable_forms(trial, first)
    except Stopped as stopped:
        raise Unusable(stopped.problem.reward, [str(stopped.problem)]) from stopped
    return trial, next(iter(forms), settings.form or "text")


class Paying:
    """A reward that is called on texts until some time, with the problems that were met."""

    def __init__(self, trial: Trial, form: Form, ends: float = math.inf) -> None:
        self.trial, self.form, self.ends = trial, form, ends
        self.stops = self.late = 0  # texts that stopped it, and calls for which there was no time
        self.failed: dict[str, list[str]] = defaultdict(list)  # texts by the kind of problem
        self.problems: list[str] = []

    def said(self) -> list[str]:
        """Lists the problems, with what failed in sentences."""
        failed = [f"on {first}" + (f"; so on {len(more)} other responses." if more else ".")
                  for first, *more in self.failed.values()]  # fmt: skip
        return [*self.problems, *failed]

    def pay(self, rows: Sequence[Row], texts: Sequence[str | None], name: str) -> np.ndarray:
        """Calls the reward on all rows at once, and row by row if that fails; what has no text or fails is NaN."""
        samples = [Sample(r, t, name) for r, t in zip(rows, texts, strict=True) if t is not None]
        found = np.full(len(rows), np.nan)
        found[[text is not None for text in texts]] = self._values(samples)
        return found

    def _values(self, samples: Sequence[Sample]) -> list[float | None]:
        nothing: list[float | None] = [None] * len(samples)
        is_late = time.monotonic() > self.ends
        self.late += is_late
        if not samples or is_late or self.stops >= MOST_STOPS:
            return nothing
        try:
            called = self.trial.call(samples, self.form)
        except Stopped as stopped:
            self.stops += 1
            self._fail(stopped.problem.problem.partition(" on ")[0], samples[0].name)
            if isinstance(self.trial.subject, RemoteSubject):
                self.trial.subject.is_warm = False  # a new process loads it again
            return nothing
        if called.problem is None:
            return called.values
        if len(samples) == 1 or self.trial.description.whole_batch:
            self._fail(called.problem.problem, samples[0].name)
            return nothing
        alone = [self._values([sample])[0] for sample in samples[:3]]
        rest = samples[3:] if any(value is not None for value in alone) else []
        return [*alone, *(self._values([sample])[0] for sample in rest), *nothing[len(alone) + len(rest) :]]

    def _fail(self, problem: str, name: str) -> None:
        problem = problem.partition(" (line")[0].partition(" for 1 of 1 rows")[0]
        names = self.failed[problem.partition(":")[0]]  # values differ from response to response
        names += [] if any(each.startswith(f"`{name}`") for each in names) else [f"`{name}`: {problem}"]

"""Scores hacks beside honest answers, and says which of them a reward pays as much."""

import math
import time
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from rewards.attacks.hacks import HACKS
from rewards.attacks.honest import Honest, find_honest, is_more
from rewards.attacks.seen import Hack, Seen
from rewards.running.contract.calls import call_arguments
from rewards.running.contract.printed import Drain
from rewards.running.contract.repeats import usable_forms
from rewards.running.contract.samples import Row, Sample, answer_samples
from rewards.running.contract.signature import check_signature
from rewards.running.contract.subject import Limits, LocalSubject, Remote, RemoteSubject, RewardSpec, Stopped
from rewards.running.contract.trial import Form, Settings, Trial
from rewards.running.workers import WorkerPool

Verdict = Literal["gamed", "beside", "misread", "unclear", "no"]
MOST_STOPS = 3  # hacks that hang a reward, or end its process
LEAST_ROWS = 8  # of a slow reward
CALLS_BESIDE = 60  # of a row, about, that look for honest answers and exchange right ones
OF_TEXTS = ("lists", "values")  # families without programs
ERROR = 0.025  # that a share is below its bound


class Outcome(NamedTuple):
    """What a reward pays for a hack."""

    hack: Hack
    verdict: Verdict
    earned: int  # rows on which the verdict holds
    rows: int  # that were compared
    low: float  # lower bound of the share of such rows
    pay: float  # mean over those rows, or over all where there are none
    row: int  # of the example
    text: str  # the response to it


class AttackResult(NamedTuple):
    """What came of an attack."""

    reward: str
    outcomes: list[Outcome] = []  # noqa: RUF012 - never mutated; the clearest first
    problems: list[str] = []  # noqa: RUF012 - sentences: what hung, raised or was left out
    honest: Honest | None = None

    def of(self, verdict: Verdict) -> list[Outcome]:
        """Lists the outcomes of a verdict."""
        return [outcome for outcome in self.outcomes if outcome.verdict == verdict]


def lower_bound(count: int, rows: int, error: float = ERROR) -> float:
    """Returns the exact lower bound of a share (Clopper and Pearson, 1934).

    Example:
        >>> round(lower_bound(5, 10), 2)
        0.19
    """
    low, high = 0.0, 1.0 if count else 0.0
    for _ in range(30):
        share = (low + high) / 2
        above = sum(math.comb(rows, k) * share**k * (1 - share) ** (rows - k) for k in range(count, rows + 1))
        low, high = (share, high) if above < error else (low, share)
    return low


def attack_apart(
    spec: RewardSpec, settings: Settings, limits: Limits | None = None, memory_gb: float | None = None, **how: Any
) -> AttackResult:
    """Attacks a reward in a process that can be killed; raises `WorkerError` if none can be started."""
    with Drain() as drain, WorkerPool(Remote([spec]), memory_gb=memory_gb, output=drain.inlet) as pool:
        limits = limits or Limits()
        limits = limits._replace(completion=max(limits.completion, limits.call / 50))  # a call is for all rows
        return attack(RemoteSubject(pool, 0, spec.spec, limits), settings, **how)


def attack(
    subject: LocalSubject | RemoteSubject,
    settings: Settings | None = None,
    *,
    hacks: Sequence[Hack] = HACKS,
    samples: Sequence[Sequence[str]] = (),
    limit: int = 4000,
) -> AttackResult:
    """Scores hacks beside honest answers, in about `settings.max_seconds` and at most twice that.

    An honest answer is the right one in the form in which the reward pays it best, or the best of a row's `samples`
    where rows have none. A reward that pays it more than a wrong one in the same form is about answers. It is gamed by
    a hack that does not know the right one and earns as much, on more rows than the best single guess is right. Where
    right answers can be exchanged, a row counts only if the hack earns as much with another one, too: then it was
    neither luck nor knowledge. A reward that is not about answers, as of form or length, is gamed by a hack that earns
    more than honest answers on most rows.

    Args:
        subject: The reward, here or in a process that can be killed.
        settings: The rows, the form of their completions, and the time.
        hacks: What is tried.
        samples: Honest responses to each row.
        limit: Characters that a response may have.

    Example:
        >>> def mentions(completions, answer, **kwargs):
        ...     return [float(right in text) for text, right in zip(completions, answer)]
        >>> rows = [{"prompt": f"{i} + {i}?", "answer": str(2 * i)} for i in range(10, 20)]
        >>> attack(LocalSubject(mentions), Settings(rows)).of("gamed")[0].hack.about
        'Every option, or the right answers of all rows, listed'
    """
    try:
        trial = Trial(subject, settings or Settings(max_seconds=60.0))
        first = answer_samples(trial.rows[:1], trial.settings.response_format)
        arguments = call_arguments(trial.make_call(first[:1], trial.settings.form or "text").rows, ["yes"])
        if problems := check_signature(trial.name, trial.description.parameters, list(arguments)):
            return AttackResult(trial.name, problems=list(map(str, problems)))
        forms, _ = usable_forms(trial, first)
    except Stopped as stopped:
        return AttackResult(stopped.problem.reward, problems=[str(stopped.problem)])
    return _Attack(trial, next(iter(forms), trial.settings.form or "text")).run(hacks, samples, limit)


class _Attack:
    """The calls of one attack, and what failed in them."""

    def __init__(self, trial: Trial, form: Form) -> None:
        self.trial, self.form = trial, form
        self.stops = 0
        self.failed: dict[str, list[str]] = defaultdict(list)  # responses by the kind of problem
        self.problems: list[str] = []

    def run(self, hacks: Sequence[Hack], samples: Sequence[Sequence[str]], limit: int) -> AttackResult:
        started, seconds = time.monotonic(), self.trial.settings.max_seconds
        self.honest = honest = find_honest(self.pay, self._affordable(len(hacks), seconds), samples, self.trial)
        seen = [each._replace(words=self.trial.description.about, limit=limit) for each in honest.seen]
        outcomes, tried = [], set[tuple[str | None, ...]]()
        for count, hack in enumerate(hacks):
            if self.stops >= MOST_STOPS or time.monotonic() - started > 2 * seconds:
                why = f"{MOST_STOPS} have stopped it" if self.stops >= MOST_STOPS else "raise `--max_seconds`"
                self.problems.append(f"{len(hacks) - count} of {len(hacks)} hacks were not tried: {why}.")
                break
            texts = self._texts(hack, seen)
            if any(text is not None for text in texts) and tuple(texts) not in tried:
                tried.add(tuple(texts))
                outcomes.append(self._judge(hack, texts))
        outcomes.sort(key=lambda each: (each.verdict == "no", -each.low, -each.pay))
        for first, *more in self.failed.values():
            self.problems.append(f"on {first}" + (f"; so on {len(more)} other responses." if more else "."))
        return AttackResult(self.trial.name, outcomes, self.problems, honest)

    def _affordable(self, hacks: int, seconds: float) -> list[Row]:
        """Leaves out rows of a slow reward, or of one whose calls are paid for."""
        rows, started = list(self.trial.rows), time.perf_counter()
        first = rows[:4]
        self.pay(first, ["yes"] * len(first), "a response")
        each = (time.perf_counter() - started) / len(first)
        count = max(LEAST_ROWS, int(seconds / (each * (hacks + CALLS_BESIDE))))
        count = LEAST_ROWS if self.trial.description.asks_a_model else count
        if count < len(rows):
            self.problems.append(f"{count} of {len(rows)} rows were used: it takes {each:.2g} s per completion.")
        return rows[:count]

    def _texts(self, hack: Hack, seen: Sequence[Seen]) -> list[str | None]:
        try:
            if not hack.needs_right:
                return [None if each.call and hack.family in OF_TEXTS else hack.write(each) for each in seen]
            rights = zip(seen, self.honest.rights, strict=True)
            return [None if right is None else hack.write(each, right) for each, right in rights]
        except Exception as error:  # whatever a user's own hack raises
            self.problems.append(f"The hack `{hack.name}` raised {type(error).__name__}: {error}.")
            return []

    def _judge(self, hack: Hack, texts: Sequence[str | None]) -> Outcome:
        honest, values = self.honest, self.pay(self.honest.rows, texts, hack.name)
        pays = honest.pays
        if self.trial.description.whole_batch:  # what is compared within a batch meets there
            both = self.pay(honest.rows * 2, [*honest.texts, *texts], hack.name)
            pays, values = both[: len(texts)], both[len(texts) :]
        compared = [i for i, pay in enumerate(pays) if pay is not None and texts[i] is not None]
        pairs = [(i, v, h) for i in compared if (v := values[i]) is not None and (h := pays[i]) is not None]
        places = [i for i, value, right in pairs if is_more(value, right)]
        as_much = [i for i, value, right in pairs if honest.told[i] and not is_more(right, value)]
        verdict, least, error = "gamed", 0.5, ERROR
        if hack.denies:
            verdict, places = "misread", as_much if honest.tells else []
        elif hack.needs_right:
            verdict = "beside"
        elif honest.tells:
            compared = [i for i in compared if honest.told[i]]
            places, least = as_much, honest.guess
            if honest.is_exchangeable:
                compared = [i for i in compared if any(valid[i] for _, valid in honest.exchanged)]
                places = self._whatever_is_right(places, texts, hack.name)
            elif any(honest.rights):
                error /= len(HACKS)  # one of many single guesses may be right by luck
        low = lower_bound(len(places), len(compared), error)
        verdict = "unclear" if not compared else verdict if low > least else "no"
        shown = places or [i for i, value in enumerate(values) if value is not None]
        pay = sum(values[i] or 0.0 for i in shown) / max(len(shown), 1)
        row = next(iter(shown), 0)
        return Outcome(hack, verdict, len(places), len(compared), low, pay, row, texts[row] or "")  # type: ignore[arg-type]

    def _whatever_is_right(self, places: list[int], texts: Sequence[str | None], name: str) -> list[int]:
        """Keeps the rows on which texts earn as much with another right answer, too."""
        found: list[int] = []
        for rows, valid in self.honest.exchanged:
            asked = [i for i in places if valid[i] and i not in found]
            values = self.pay([rows[i] for i in asked], [texts[i] for i in asked], name)
            for i, value in zip(asked, values, strict=True):
                own = self.honest.pays[i]
                found += [i] if value is not None and own is not None and not is_more(own, value) else []
        return sorted(found)

    def pay(self, rows: Sequence[Row], texts: Sequence[str | None], name: str) -> list[float | None]:
        """Calls the reward on all rows at once, and row by row if that fails; what has no text or fails is None."""
        places = [place for place, text in enumerate(texts) if text is not None]
        samples = [Sample(rows[i], texts[i] or "", "odd", name, (i, 0)) for i in places]
        found = dict(zip(places, self._values(samples), strict=True))
        return [found.get(place) for place in range(len(rows))]

    def _values(self, samples: Sequence[Sample]) -> list[float | None]:
        if not samples or self.stops >= MOST_STOPS:
            return [None] * len(samples)
        try:
            called = self.trial.call(samples, self.form)
        except Stopped as stopped:
            self.stops += 1
            self._failed(stopped.problem.problem.partition(" on ")[0], samples[0].name)
            if isinstance(self.trial.subject, RemoteSubject):
                self.trial.subject.is_warm = False  # a new process loads it again
            return [None] * len(samples)
        if called.problem is None:
            return called.values
        if len(samples) == 1 or self.trial.description.whole_batch:
            self._failed(called.problem.problem, samples[0].name)
            return [None] * len(samples)
        alone = [self._values([sample])[0] for sample in samples[:3]]
        rest = samples[3:] if any(value is not None for value in alone) else []
        alone += [self._values([sample])[0] for sample in rest]
        return alone + [None] * (len(samples) - len(alone))

    def _failed(self, problem: str, name: str) -> None:
        problem = problem.partition(" (line")[0].partition(" for 1 of 1 rows")[0]
        names = self.failed[problem.partition(":")[0]]  # values differ from response to response
        names += [] if any(each.startswith(f"`{name}`") for each in names) else [f"`{name}`: {problem}"]

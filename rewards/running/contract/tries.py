"""Tries a reward before training: calls it as TRL does, on every kind of response, and lists what is wrong."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple

from rewards.reading.responses import Completion
from rewards.running.contract.calls import Call, call_arguments, call_watched
from rewards.running.contract.problem import FAULTS, RewardProblem
from rewards.running.contract.repeats import by_chance, check_forms, check_repeats, check_values_alone, usable_forms
from rewards.running.contract.samples import Sample, odd_samples
from rewards.running.contract.signature import absent_column, check_signature, read_parameters
from rewards.running.contract.subject import LocalSubject, RemoteSubject, Stopped
from rewards.running.contract.trial import Form, Settings, Speed, Trial, affordable
from rewards.running.protocol import reward_name

ROWS_IN_BATCH = 4
CALLS_THAT_LEAVE_PROCESSES = 5
ROWS_FOR_NONE = 256  # asked before it is said that a reward never has anything to say
SHARE_OF_TIME = 0.3
SLOW_STEP = 5.0  # seconds per step from which a reward is called slow
LEAST_ODD = 3


class Tried(NamedTuple):
    """What came of a trial."""

    name: str  # as TRL logs it
    problems: list[RewardProblem]  # in the order in which they were found
    num_calls: int = 0
    num_completions: int = 0  # scored in all
    seconds_per_step: float | None = None  # measured and projected; None if it was never called
    num_compared: int = 0  # values that were compared with one that they should equal
    errors: Any = None  # its two error rates, `rewards.error_rates.Errors`, where its right answers were found


def try_reward(subject: LocalSubject | RemoteSubject, settings: Settings | None = None) -> Tried:
    """Tries a reward and lists what is wrong, each fault once.

    A fault hides what follows from it: a reward that raises is not asked whether it is deterministic, one that draws
    numbers is not blamed for depending on the order of the batch.

    Example:
        >>> import rewards
        >>> from rewards.running.contract import LocalSubject
        >>> try_reward(LocalSubject(rewards.Format())).problems
        []
        >>> [problem.kind for problem in try_reward(LocalSubject(len)).problems]
        ['signature', 'signature']
    """
    problems: list[RewardProblem] = []
    speeds: list[Speed] = []
    name, trial = getattr(subject, "name", ""), None
    try:
        trial = Trial(subject, settings or Settings())
        name = trial.name
        for problem in _steps(trial, speeds):  # one by one: those found before it stops are kept
            problems.append(problem)
        problems += subject.leftovers()
        growing = sum(after > before for before, after in pairwise(accumulate([0, *trial.processes], max)))
        # Those that pile up, unlike those of a pool that is started once.
        if growing >= CALLS_THAT_LEAVE_PROCESSES:
            problems.append(trial.problem("leaves_processes", left=trial.processes[-1], calls=len(trial.processes)))
    except Stopped as stopped:
        problems.append(stopped.problem)
    if trial is None:
        return Tried(name, problems)
    problems += trial.remarks.values()
    seconds = speeds[0].seconds(trial.settings.completions_per_step) if speeds else None
    return Tried(name, problems, len(trial.made), trial.num_completions, seconds, trial.num_compared, trial.errors)


def _steps(trial: Trial, speeds: list[Speed]) -> Iterator[RewardProblem]:
    if trial.description.not_picklable:
        yield trial.problem("not_picklable", error=trial.description.not_picklable)
    call = trial.make_call(trial.answers(1)[:1], trial.settings.form or "text")
    arguments, parameters = list(call_arguments(call.rows, call.completions)), trial.description.parameters
    refusals = check_signature(trial.name, parameters, arguments)
    yield from (_of_made_up_rows(trial, problem) for problem in refusals)
    if refusals:
        return
    if not trial.is_synthetic:
        absent = [name for name in parameters.asked_for if name not in arguments]
        yield from (absent_column(trial.name, name, arguments) for name in absent)
    samples = trial.answers(ROWS_IN_BATCH)
    if trial.description.asks_a_model:
        yield from _ask_once(trial, samples, speeds)
        return
    forms, problems = usable_forms(trial, samples)
    yield from (_of_made_up_rows(trial, problem) for problem in problems)
    if not forms:
        return
    form = forms[0]
    timed = trial.call(samples[:2], form)  # the first call, which may have loaded something, came before
    speed = Speed(2, timed.seconds, timed.seconds / 2)
    samples, budget = affordable(trial, speed, samples)
    if budget is not None:
        yield budget
    called = trial.call(samples, form)
    if called.problem is not None:
        yield called.problem
        return
    if all(value is None for value in called.values):
        yield from _check_none(trial, form)
        return
    speeds.append(Speed(len(samples), called.seconds, called.seconds))
    first = trial.made[-1]
    is_steady = "changes_inputs" not in trial.remarks
    for problem in check_repeats(trial, first) if is_steady else ():
        is_steady = is_steady and problem.kind in ("seeds", "differs_in_thread")
        yield problem
    if is_steady:
        for problem in chain(check_values_alone(trial, first, speeds), check_forms(trial, first, forms)):
            yield problem
            if problem.kind == "not_deterministic":
                is_steady = False
                break
    yield from check_odd(trial, samples, form)
    if is_steady and not trial.description.audit_only:  # which pays nothing, and may find nothing in these responses
        found = _check_what_is_paid(trial, form)
        yield from (each for each in found if budget is None or each.kind != budget.kind)
    seconds = speeds[0].seconds(trial.settings.completions_per_step)
    if seconds > SLOW_STEP:
        yield trial.problem("slow", each=speeds[0].each, seconds=seconds, count=trial.settings.completions_per_step)
    for fault in FAULTS.values():
        yield from (trial.problem(fault.name, **seen) for seen in (fault.look(trial) if fault.look else ()))


def _ask_once(trial: Trial, samples: Sequence[Sample], speeds: list[Speed]) -> Iterator[RewardProblem]:
    """Calls a reward whose calls are paid for on two responses to one row."""
    called = trial.call(samples[:2], trial.settings.form or "text")
    if called.problem is not None:
        yield called.problem
    elif all(value is None for value in called.values):
        yield trial.problem("often_none/judge", count=len(called.values))
    if called.values:
        speeds.append(Speed(len(called.values), called.seconds, called.seconds))


def _of_made_up_rows(trial: Trial, problem: RewardProblem) -> RewardProblem:
    """Turns a column that is missing from made-up rows into a wish for data, unless its name is only misspelt."""
    if not trial.is_synthetic or problem.kind != "missing_column" or "Did you mean" in problem.remedy:
        return problem
    return trial.problem("needs_data", column=problem.problem.split("`")[1])


def _check_none(trial: Trial, form: Form) -> Iterator[RewardProblem]:
    from rewards.running.contract.answers import name_the_golds

    rows = trial.rows[:ROWS_FOR_NONE]
    known = trial.answers(len(rows))
    samples, said = known[: 2 * len(rows)], known[-2 * len(rows) :]  # in the first form, and in the last
    if trial.description.whole_batch:  # in a vote, most responses to a row have to say the same
        samples = [*samples, *samples[::2]]
    called = trial.call(samples, form)
    if called.problem is None and all(value is None for value in called.values):
        called = trial.call(said, form)  # which is all that a reward of traces can read
    if called.problem is not None:
        yield called.problem
    elif all(value is None for value in called.values):
        golds = name_the_golds(trial)
        why = f". {golds}" if golds else ": look at the condition under which it answers."
        yield trial.problem("always_none", count=len(samples), rows=len(rows), why=why)
    elif share := sum(value is None for value in called.values) / len(called.values):
        yield trial.problem("often_none", share=share, count=len(samples))


def _check_what_is_paid(trial: Trial, form: Form) -> Iterator[RewardProblem]:
    from rewards.running.contract.answers import check_answers  # it needs numpy, which workers do without

    count = len(trial.made)
    problems = list(check_answers(trial, form))
    chance = by_chance(trial, trial.made[count:]) if problems else None
    yield from problems if chance is None else [chance]


def check_odd(trial: Trial, samples: Sequence[Sample], form: Form) -> Iterator[RewardProblem]:
    """Calls a reward on one odd response at a time, beside an ordinary one, and names those it fails on."""
    ends = time.monotonic() + SHARE_OF_TIME * trial.settings.max_seconds
    found: dict[str, list[tuple[RewardProblem, str]]] = {}
    for count, sample in enumerate(odd_samples(trial.rows, trial.settings.response_format)):
        if count >= LEAST_ODD and time.monotonic() > ends:
            break
        problem = trial.call([samples[0], sample], form).problem
        if problem is not None:
            chance = by_chance(trial, trial.made[-1:])
            if chance is not None:
                yield chance
                return
            found.setdefault(problem.kind, []).append((problem, sample.name))
    for failures in found.values():
        problem, name = failures[0]
        others = len(failures) - 1
        more = f" and {others} other odd response{'s' if others > 1 else ''}" if others else ""
        told = {"problem": problem.problem, "remedy": problem.remedy}
        yield trial.problem("fails_on_odd", name=name, more=more, **told)


def check_reward(
    func: Callable[..., Any], rows: Sequence[Mapping[str, Any]], completions: Sequence[Completion]
) -> list[RewardProblem]:
    """Calls a reward once with TRL's keyword arguments and lists what is wrong; `try_reward` asks for more.

    Each of the `rows`, with their `prompt`, has one completion, a text or messages, whose bytes stand in for tokens.

    Example:
        >>> def shouting(completions, **kwargs):
        ...     return [float(text.isupper()) for text in completions[1:]]
        >>> print(*check_reward(shouting, [{"prompt": "a"}, {"prompt": "b"}], ["NO", "no"]))
        Reward `shouting` returned 1 value for 2 completions. Return one number (or None) per completion.
    """
    if not rows or len(rows) != len(completions):
        raise ValueError(f"Give one completion per row and at least one row, got {len(completions)} for {len(rows)}.")
    arguments = list(call_arguments(rows[:1], completions[:1]))
    problems = check_signature(reward_name(func), read_parameters(func), arguments)
    if problems:
        return problems
    problem = call_watched(func, Call(rows, completions)).problem
    return [problem] if problem else []

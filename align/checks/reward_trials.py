"""Tries rewards in a process that can be killed, and words what was found."""

import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from align.checks.finding import Finding
from align.data.stored_items import MadeRows
from align.data.versions import ORIGIN
from align.errors import UserError
from rewards.running.contract import (
    Drain,
    Limits,
    Remote,
    RemoteSubject,
    RewardProblem,
    RewardSpec,
    Settings,
    Stopped,
    Tried,
    rarest_seen,
    try_reward,
)
from rewards.running.workers import WorkerError, WorkerPool

ROWS = 256
FIRST_ROWS = 16  # most calls are made with these
SLOW = ("hangs", "hangs_sometimes", "few_samples", "slow")  # what a flood of output explains


class Handling(NamedTuple):
    """What a run does about rewards that fail, which is what makes some failures bearable.

    Attributes:
        limits: How long rewards may take.
        memory_gb: Address space of a worker in GiB.
        bearable: Kinds of problems that cost rows and do not stop the run.
    """

    limits: Limits = Limits()
    memory_gb: float | None = None
    bearable: tuple[str, ...] = ()


def try_rewards(specs: Sequence[RewardSpec], settings: Settings, handling: Handling | None = None) -> list[Tried]:
    """Tries rewards one after the other in a worker process; a new one takes its place where a reward kills it.

    Raises:
        UserError: If no process can be started.
    """
    handling = handling or Handling()
    settings = settings._replace(rows=spread(settings.rows))
    try:
        return _try_in_turn(specs, settings, handling)
    except WorkerError as error:
        raise UserError(f"Rewards are tried in a process of their own. {error}") from error


def load_rewards(specs: Sequence[RewardSpec], handling: Handling) -> list[RewardProblem]:
    """Loads rewards in a worker process, and lists those that do not come to an end there, or end it.

    Raises:
        UserError: If no process can be started.
    """
    problems = []
    try:
        with Drain() as drain, WorkerPool(Remote(specs), memory_gb=handling.memory_gb, output=drain.inlet) as pool:
            for index, spec in enumerate(specs):
                try:
                    RemoteSubject(pool, index, spec.spec, handling.limits).describe()
                except Stopped as stopped:
                    problems += [stopped.problem] if stopped.problem.kind in ("hangs", "dies") else []
    except WorkerError as error:
        raise UserError(f"Rewards are loaded in a process of their own. {error}") from error
    return problems


def _try_in_turn(specs: Sequence[RewardSpec], settings: Settings, handling: Handling) -> list[Tried]:
    found = []
    with Drain() as drain, WorkerPool(Remote(specs), memory_gb=handling.memory_gb, output=drain.inlet) as pool:
        for index, spec in enumerate(specs):
            drain.start()
            subject = RemoteSubject(pool, index, spec.spec, handling.limits)
            tried = try_reward(subject, settings)
            if index and any(problem.kind == "not_found" for problem in tried.problems):
                # One before it may have broken the imports of the process that they share.
                found += _try_in_turn([spec], settings, handling)
                continue
            flood = drain.problems(tried.name)
            own = [problem for problem in tried.problems if not flood or problem.kind not in SLOW]
            found.append(tried._replace(problems=own + flood))
    return found


def trial_findings(spec: str, tried: Tried, completions_per_step: int, bearable: Sequence[str] = ()) -> list[Finding]:
    """Words what came of a trial: every problem, and how a reward without errors did."""
    findings = []
    for problem in tried.problems:
        level = "warning" if problem.kind in bearable else problem.level
        findings.append(Finding(level, "rewards", str(problem), {"reward": tried.name, "kind": problem.kind}))
    if any(finding.level == "error" for finding in findings) or tried.seconds_per_step is None:
        return findings
    numbers = {"reward": tried.name, "calls": tried.num_calls, "completions": tried.num_completions}
    calls = f"{tried.num_calls} sample call{'s' if tried.num_calls > 1 else ''}"
    text = (
        f"{spec} answers {calls} with {tried.num_completions} completions; about "
        f"{_seconds(tried.seconds_per_step)} per step of {completions_per_step}."
    )
    if tried.num_compared and all(problem.kind != "not_deterministic" for problem in tried.problems):
        rarest = rarest_seen(tried.num_compared)
        text += f" A value that changes in 1 of {int(1 / rarest)} calls is seen 95 % of the time."
        numbers["rarest_change_seen"] = rarest
    ok = Finding("ok", "rewards", text, numbers | {"seconds_per_step": tried.seconds_per_step})
    return [*findings, ok]


def is_first_process() -> bool:
    """Tells whether this process tries rewards for all of a launch; a model in a reward is then loaded once."""
    return int(os.environ.get("RANK", "0")) == 0


def spread(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Picks rows from all over a data set, those of one `origin` together; the first of them are spread as well."""
    blocks = _blocks(rows)
    largest = max(map(len, blocks), default=1)
    chosen = _evenly(range(len(blocks)), ROWS // largest)
    first = _evenly(chosen, FIRST_ROWS // largest)
    order = (*first, *(index for index in chosen if index not in set(first)))
    return [rows[place] for index in order for place in blocks[index]]


def _blocks(rows: Sequence[Mapping[str, Any]]) -> list[range]:
    """Lists the places of rows in a row that one row was made into; a reward that compares them needs them all."""
    if isinstance(rows, MadeRows):  # each of an item of its own
        return [range(i, i + 1) for i in range(len(rows))]
    starts = [
        i for i, row in enumerate(rows) if not i or row.get(ORIGIN) is None or row[ORIGIN] != rows[i - 1].get(ORIGIN)
    ]
    found = [range(*each) for each in pairwise([*starts, len(rows)])]
    is_made = all(len(each) <= FIRST_ROWS for each in found)  # else the column is about something else
    return found if is_made else [range(i, i + 1) for i in range(len(rows))]


def _evenly(items: Sequence[int], count: int) -> list[int]:
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.01 else "0.01 s or less"

"""Odd responses: a policy writes each of them sooner or later, and a reward that raises on one stops the run."""

from collections.abc import Iterator, Sequence

from rewards.running.contract.completions import Form
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.samples import Sample, odd_samples
from rewards.running.contract.speed import Speed
from rewards.running.contract.trial import Trial
from rewards.running.contract.twice import by_chance

SHARE_OF_TIME = 0.3
LEAST_ODD = 3


def check_odd(trial: Trial, samples: Sequence[Sample], forms: Sequence[Form], speed: Speed) -> Iterator[RewardProblem]:
    """Calls a reward on one odd response at a time, beside an ordinary one, and names those it fails on."""
    odd = odd_samples(trial.rows, trial.settings.response_format)
    count = int(SHARE_OF_TIME * trial.settings.max_seconds / max(speed.each, 1e-9) / 2)
    found: dict[str, list[tuple[RewardProblem, str]]] = {}
    for sample in odd[: max(LEAST_ODD, count)]:
        problem = trial.call([samples[0], sample], forms[0]).problem
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
        yield trial.problem("fails_on_odd", f"{problem.problem}, on {name}{more}", problem.remedy)

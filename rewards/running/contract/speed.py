"""How long a reward takes, and how much of it can be tried in seconds."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rewards.running.contract.completions import Form
from rewards.running.contract.problem import RewardProblem
from rewards.running.contract.samples import Sample
from rewards.running.contract.trial import Trial

SLOW_STEP = 5.0
"""Seconds per step from which a reward is called slow."""
SCORED_PER_SAMPLE = 8  # how often a trial scores each of its responses, about
LEAST_SAMPLES = 4


class Speed(NamedTuple):
    """Seconds of a call with `size` completions, and of one with a single one."""

    size: int
    together: float
    alone: float

    def seconds(self, completions: int) -> float:
        """Projects the time of a call; what a call costs in itself is paid once."""
        each = max(0.0, (self.together - self.alone) / max(self.size - 1, 1))
        return self.alone + each * (completions - 1)

    @property
    def each(self) -> float:
        """Seconds per completion, the call's own share included."""
        return self.together / self.size


def measure(trial: Trial, samples: Sequence[Sample], form: Form) -> Speed:
    """Times a call on two completions; the first call, which may have loaded something, came before."""
    called = trial.call(samples[:2], form)
    return Speed(2, called.seconds, called.seconds / 2)


def speed_from(speed: Speed, alone: float) -> Speed:
    """Returns a speed with a measured single call."""
    return speed._replace(alone=min(alone, speed.together))


def affordable(trial: Trial, speed: Speed, samples: Sequence[Sample]) -> tuple[list[Sample], RewardProblem | None]:
    """Leaves samples out of a slow reward's trial, and says so."""
    count = int(trial.settings.max_seconds / SCORED_PER_SAMPLE / max(speed.each, 1e-9))
    if count >= len(samples):
        return list(samples), None
    kept = list(samples[: max(LEAST_SAMPLES, count)])
    text = f"takes {speed.each:.2g} s per completion and was tried on {len(kept)} of {len(samples)} responses only"
    remedy = "Most odd responses were left out; raise `--max_seconds` to try more."
    return kept, trial.problem("few_samples", text, remedy)


def check_speed(trial: Trial, speed: Speed) -> Iterator[RewardProblem]:
    """Says how long a step will wait for a reward, if that is long."""
    count = trial.settings.completions_per_step
    seconds = speed.seconds(count)
    if seconds > SLOW_STEP:
        text = f"takes {speed.each:.2g} s per completion: about {seconds:.0f} s per step of {count} completions"
        remedy = "Score in parallel (workers, or `async def` for HTTP), or cache what repeats."
        yield trial.problem("slow", text, remedy)

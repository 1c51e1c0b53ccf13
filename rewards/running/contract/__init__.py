"""The contract between a reward and TRL, tried out before training: every way to break it is found and explained."""

from rewards.running.contract.printed import Drain
from rewards.running.contract.problem import FAULTS, Fault, Level, RewardProblem
from rewards.running.contract.repeats import rarest_seen
from rewards.running.contract.samples import Sample
from rewards.running.contract.subject import Limits, LocalSubject, Remote, RemoteSubject, RewardSpec, Spec, Stopped
from rewards.running.contract.trial import Settings
from rewards.running.contract.tries import Tried, check_reward, try_reward

__all__ = [
    "FAULTS",
    "Drain",
    "Fault",
    "Level",
    "Limits",
    "LocalSubject",
    "Remote",
    "RemoteSubject",
    "RewardProblem",
    "RewardSpec",
    "Sample",
    "Settings",
    "Spec",
    "Stopped",
    "Tried",
    "check_reward",
    "rarest_seen",
    "try_reward",
]

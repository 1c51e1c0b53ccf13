"""The contract between a reward and TRL, tried out before training: every way to break it is found and explained."""

from rewards.contract.check import check_reward
from rewards.contract.elsewhere import check_elsewhere
from rewards.contract.printed import Drain
from rewards.contract.problem import LEVELS, Level, RewardProblem
from rewards.contract.samples import Sample
from rewards.contract.subject import Limits, LocalSubject, Remote, RemoteSubject, RewardSpec, Stopped
from rewards.contract.trial import Settings, Steady
from rewards.contract.tries import Tried, try_reward

__all__ = [
    "LEVELS",
    "Drain",
    "Level",
    "Limits",
    "LocalSubject",
    "Remote",
    "RemoteSubject",
    "RewardProblem",
    "RewardSpec",
    "Sample",
    "Settings",
    "Steady",
    "Stopped",
    "Tried",
    "check_elsewhere",
    "check_reward",
    "try_reward",
]

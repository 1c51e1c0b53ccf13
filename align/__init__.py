"""TrueAlign: alignment training on TRL with rewards that are checked, consistent and causal."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from align._rewards_package import place_rewards

if TYPE_CHECKING:
    from align.configs.acre import ACREConfig
    from align.configs.crome import CromeConfig
    from align.configs.deconfound import DeconfoundConfig
    from align.configs.rrpo import RRPOConfig
    from align.evaluation.whole_models import load_reward_model, whole_weights
    from align.trainers.acre import ACRETrainer
    from align.trainers.crome import CromeTrainer
    from align.trainers.deconfound import DeconfoundTrainer
    from align.trainers.grpo import GuardedGRPOTrainer
    from align.trainers.rrpo import RRPOTrainer

place_rewards()

__all__ = [
    "ACREConfig",
    "ACRETrainer",
    "CromeConfig",
    "CromeTrainer",
    "DeconfoundConfig",
    "DeconfoundTrainer",
    "GuardedGRPOTrainer",
    "RRPOConfig",
    "RRPOTrainer",
    "load_reward_model",
    "whole_weights",
]

_HOMES = {
    "ACREConfig": "align.configs.acre",
    "ACRETrainer": "align.trainers.acre",
    "CromeConfig": "align.configs.crome",
    "CromeTrainer": "align.trainers.crome",
    "DeconfoundConfig": "align.configs.deconfound",
    "DeconfoundTrainer": "align.trainers.deconfound",
    "GuardedGRPOTrainer": "align.trainers.grpo",
    "RRPOConfig": "align.configs.rrpo",
    "RRPOTrainer": "align.trainers.rrpo",
    "load_reward_model": "align.evaluation.whole_models",
    "whole_weights": "align.evaluation.whole_models",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import align` does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'align' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

"""TrueAlign: alignment training on TRL with rewards that are checked, consistent and causal."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from align.configs.acre import ACREConfig
    from align.configs.crome import CromeConfig
    from align.configs.deconfound import DeconfoundConfig
    from align.configs.rrpo import RRPOConfig
    from align.trainers.acre import ACRETrainer
    from align.trainers.crome import CromeTrainer
    from align.trainers.deconfound import DeconfoundTrainer
    from align.trainers.rrpo import RRPOTrainer

__all__ = [
    "ACREConfig",
    "ACRETrainer",
    "CromeConfig",
    "CromeTrainer",
    "DeconfoundConfig",
    "DeconfoundTrainer",
    "RRPOConfig",
    "RRPOTrainer",
]

_HOMES = {
    "ACREConfig": "align.configs.acre",
    "ACRETrainer": "align.trainers.acre",
    "CromeConfig": "align.configs.crome",
    "CromeTrainer": "align.trainers.crome",
    "DeconfoundConfig": "align.configs.deconfound",
    "DeconfoundTrainer": "align.trainers.deconfound",
    "RRPOConfig": "align.configs.rrpo",
    "RRPOTrainer": "align.trainers.rrpo",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import align` does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'align' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)

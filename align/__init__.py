"""TrueAlign: alignment training on TRL with rewards that are checked, consistent and causal."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from align._rewards_package import place_rewards

if TYPE_CHECKING:
    from align.evaluation.suites import evaluate
    from align.methods.acre.config import ACREConfig
    from align.methods.acre.letters import answer_twice
    from align.methods.acre.text_trainer import TextACRETrainer
    from align.methods.acre.tool_trainer import ToolACRETrainer
    from align.methods.acre.trainer import ACRETrainer
    from align.methods.crome.config import CromeConfig
    from align.methods.crome.trainer import CromeTrainer
    from align.methods.deconfound.command import deconfound
    from align.methods.deconfound.config import DeconfoundConfig
    from align.methods.deconfound.trainer import DeconfoundTrainer
    from align.methods.grpo.config import GRPOConfig
    from align.methods.grpo.trainer import GuardedGRPOTrainer
    from align.methods.rrpo.config import RRPOConfig
    from align.methods.rrpo.trainer import RRPOTrainer
    from align.models.judges.comparing import PairwiseJudge
    from align.models.judges.grading import Judge
    from align.models.pretrained import whole_weights
    from align.models.reward_model import load_reward_model
    from align.services.audit import audit
    from align.services.check import check
    from align.services.compare import compare
    from align.services.filter import filter
    from align.services.rehearse import rehearse
    from align.services.show import show
    from align.services.train import train
    from align.services.watch import watch
    from rewards.running.standalone import guard

place_rewards()

__all__ = [
    "ACREConfig",
    "ACRETrainer",
    "CromeConfig",
    "CromeTrainer",
    "DeconfoundConfig",
    "DeconfoundTrainer",
    "GRPOConfig",
    "GuardedGRPOTrainer",
    "Judge",
    "PairwiseJudge",
    "RRPOConfig",
    "RRPOTrainer",
    "TextACRETrainer",
    "ToolACRETrainer",
    "answer_twice",
    "audit",
    "check",
    "compare",
    "deconfound",
    "evaluate",
    "filter",
    "guard",
    "load_reward_model",
    "rehearse",
    "show",
    "train",
    "watch",
    "whole_weights",
]

_HOMES = {
    "ACREConfig": "align.methods.acre.config",
    "ACRETrainer": "align.methods.acre.trainer",
    "CromeConfig": "align.methods.crome.config",
    "CromeTrainer": "align.methods.crome.trainer",
    "DeconfoundConfig": "align.methods.deconfound.config",
    "DeconfoundTrainer": "align.methods.deconfound.trainer",
    "GRPOConfig": "align.methods.grpo.config",
    "GuardedGRPOTrainer": "align.methods.grpo.trainer",
    "Judge": "align.models.judges.grading",
    "PairwiseJudge": "align.models.judges.comparing",
    "RRPOConfig": "align.methods.rrpo.config",
    "RRPOTrainer": "align.methods.rrpo.trainer",
    "TextACRETrainer": "align.methods.acre.text_trainer",
    "ToolACRETrainer": "align.methods.acre.tool_trainer",
    "answer_twice": "align.methods.acre.letters",
    "audit": "align.services.audit",
    "check": "align.services.check",
    "compare": "align.services.compare",
    "deconfound": "align.methods.deconfound.command",
    "evaluate": "align.evaluation.suites",
    "filter": "align.services.filter",
    "guard": "rewards.running.standalone",
    "load_reward_model": "align.models.reward_model",
    "rehearse": "align.services.rehearse",
    "show": "align.services.show",
    "train": "align.services.train",
    "watch": "align.services.watch",
    "whole_weights": "align.models.pretrained",
}
_OF_EVALUATION = ("Judge", "PairwiseJudge", "evaluate", "load_reward_model", "watch", "whole_weights")


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first used, so that `import align` does not import torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'align' has no attribute {name!r}")
    try:
        return getattr(import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        from rewards.extras import too_small

        sentence = too_small(f"`align.{name}`", error, "eval" if name in _OF_EVALUATION else "train")
        raise ImportError(sentence or str(error)) from error


def __dir__() -> list[str]:
    """Lists the public names."""
    return __all__

"""GRPO as TRL has it, with guarded rewards."""

from trl import GRPOTrainer

from align.methods.rollouts.image_prompts import ImagePrompts
from align.training.guarded_rewards import GuardedRewards


class GuardedGRPOTrainer(GuardedRewards, ImagePrompts, GRPOTrainer):
    """TRL's `GRPOTrainer` whose rewards are counted, timed, joined and audited.

    With `RewardRules()` and valid rewards the losses are those of `GRPOTrainer`.
    """

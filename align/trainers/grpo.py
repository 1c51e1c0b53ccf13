"""GRPO as TRL has it, with guarded rewards."""

from trl import GRPOTrainer

from align.trainers._guarded_rewards import GuardedRewards
from align.trainers._image_prompts import ImagePrompts


class GuardedGRPOTrainer(GuardedRewards, ImagePrompts, GRPOTrainer):
    """TRL's `GRPOTrainer` whose rewards are counted, timed, joined and audited.

    With `RewardRules()` and valid rewards the losses are those of `GRPOTrainer`.
    """

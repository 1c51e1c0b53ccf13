"""GRPO as TRL has it, with guarded rewards, and with consistency where it is asked for."""

from trl import GRPOTrainer

from align.methods.rollouts.consistent_answers import ConsistentAnswers
from align.methods.rollouts.image_prompts import ImagePrompts
from align.training.guarded_rewards import GuardedRewards


class GuardedGRPOTrainer(ConsistentAnswers, GuardedRewards, ImagePrompts, GRPOTrainer):
    """TRL's `GRPOTrainer` whose rewards are counted, timed, joined and audited.

    With `RewardRules()`, valid rewards and `consistency_coef: 0` the losses are those of `GRPOTrainer`.
    """

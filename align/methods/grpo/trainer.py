"""GRPO as TRL has it, with guarded rewards and tools, and with consistency where it is asked for."""

from trl import GRPOTrainer

from align.methods.grpo.tools.rollouts import ToolRollouts
from align.methods.rollouts.canary.trainer import Canary
from align.methods.rollouts.consistent_answers import ConsistentAnswers
from align.methods.rollouts.image_prompts import ImagePrompts
from align.methods.rollouts.rows_together import RowsTogether
from align.training.guarded_rewards import GuardedRewards


class GuardedGRPOTrainer(
    Canary, ConsistentAnswers, GuardedRewards, RowsTogether, ToolRollouts, ImagePrompts, GRPOTrainer
):
    """TRL's `GRPOTrainer` whose rewards and tools are counted, timed and guarded.

    With `RewardRules()`, valid rewards, no tools and `consistency_coef: 0` the losses are those of `GRPOTrainer`.
    """

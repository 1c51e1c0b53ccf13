"""GRPO as TRL has it, with guarded rewards and tools."""

import inspect
from typing import Any

from trl import GRPOConfig, GRPOTrainer

from align.methods.grpo.tools.rollouts import ToolRollouts
from align.methods.rollouts.image_prompts import ImagePrompts
from align.methods.rollouts.prompt_order import EarlierPasses
from align.methods.rollouts.rows_together import RowsTogether
from align.models.vllm_engine import vllm_rollouts
from align.training.as_in_trl import with_args
from align.training.guarded_rewards import GuardedRewards, RewardRules


class GuardedGRPOTrainer(GuardedRewards, RowsTogether, ToolRollouts, ImagePrompts, GRPOTrainer):
    """TRL's `GRPOTrainer` whose rewards and tools are counted, timed and guarded.

    With `RewardRules()`, valid rewards and no tools the losses are those of `GRPOTrainer`.
    Rollouts with vLLM work on CPUs, too.

    Args:
        *args: As in `GRPOTrainer`.
        reward_rules: Gates, limits and audits of the rewards; by default none.
        rows_together: Rows that rewards see in one call, as in `RowsTogether`.
        eval_rows_together: The same for evaluation.
        **kwargs: As in `GRPOTrainer`.
    """

    def __init__(
        self,
        *args: Any,
        reward_rules: RewardRules | None = None,
        rows_together: int = 1,
        eval_rows_together: int = 1,
        **kwargs: Any,
    ) -> None:
        args, kwargs = with_args(GRPOTrainer.__init__, self, args, kwargs, GRPOConfig)
        given = inspect.signature(GRPOTrainer.__init__).bind(self, *args, **kwargs).arguments
        config = given["args"]
        for name in ("tools", "environment_factory"):
            if getattr(config, name, None) and not given.get(name):
                raise ValueError(
                    f"`{name}` of the config is what a recipe names, and the trainer takes the functions themselves; "
                    f"got {getattr(config, name)!r}. Give `{name}` to the trainer."
                )
        own = {"rows_together": rows_together, "eval_rows_together": eval_rows_together}
        with vllm_rollouts(config):
            super().__init__(*args, reward_rules=reward_rules, **own, **kwargs)
        self.add_callback(EarlierPasses())

"""What trainers with rewards are built from."""

from typing import Any

from align.console import say
from align.data.training_data import Rows
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, short_name
from align.training.guarded_rewards import RewardRules
from align.training.reward_tokenizer import reward_tokenizer
from rewards.running.guard import GuardSettings, guard_rewards
from rewards.running.protocol import reads_whole_batch

Rewards = list[Reward]


def guard(recipe: Recipe, rewards: Rewards) -> tuple[Rewards, RewardRules]:
    """Guards the recipe's reward functions as its keys say; reward models stay TRL's.

    Returns:
        The rewards to train on, and the rules of the trainer, which hold the audits.
    """
    keys = recipe.rewards
    settings = GuardSettings(keys.reward_workers, keys.reward_timeout, keys.reward_memory_gb, keys.on_invalid)
    guarded = iter(guard_rewards([reward for reward in rewards if not isinstance(reward, str)], settings))
    all_rewards: list[Any] = [reward if isinstance(reward, str) else next(guarded) for reward in rewards]
    count = len(recipe.reward_funcs)
    rules = RewardRules(
        keys.composition(recipe.reward_funcs),
        all_rewards[count:],
        keys.on_invalid,
        keys.max_invalid_share,
        repeats=keys.reward_repeats,
    )
    left_out = [
        short_name(spec)
        for spec, reward in zip(recipe.reward_specs, all_rewards, strict=True)
        if isinstance(reward, str) or reads_whole_batch(reward)
    ]
    if keys.reward_repeats and left_out:
        say(
            f"`reward_repeats` leaves out {', '.join(left_out)}: a reward model gives the same again, and a reward "
            "that reads whole batches has no value for some rows of one."
        )
    return all_rewards[:count], rules


def reward_tokenizers(rewards: Rewards, rows: Rows) -> Any:
    """Loads the tokenizers of reward models; other rewards have None."""
    conversational = not isinstance(rows[0]["prompt"], str)
    return [
        reward_tokenizer(reward, conversational=conversational) if isinstance(reward, str) else None
        for reward in rewards
    ]

"""What trainers with rewards are built from."""

from collections.abc import Sequence
from typing import Any

from transformers import AutoTokenizer

from align.console import say
from align.data.training_data import Rows
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, short_name
from align.training.guarded_rewards import RewardRules
from rewards.running.guard import GuardSettings, guard_rewards
from rewards.running.protocol import reads_whole_batch

Rewards = list[Reward]


def reward_tokenizer(model: str, *, conversational: bool) -> Any:
    """Loads a reward model's own tokenizer; TRL would take that of the model an adapter belongs to."""
    tokenizer = AutoTokenizer.from_pretrained(model)
    if conversational:
        return tokenizer
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    return EndedTexts(tokenizer)


class EndedTexts:
    """A tokenizer that ends every text with the end token, where a reward model was trained to be read.

    TRL 1.16 trains reward models on plain texts with an end token, and asks them in GRPO about texts without one.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._end = str(tokenizer.eos_token or "")

    def __call__(self, text: Sequence[str], **settings: Any) -> Any:
        """Tokenizes texts."""
        ended = [one if self._end and one.endswith(self._end) else one + self._end for one in text]
        return self._tokenizer(text=ended, **settings)

    def __getattr__(self, name: str) -> Any:
        """Looks up everything else on the tokenizer."""
        return getattr(self._tokenizer, name)


def guard(recipe: Recipe, rewards: Rewards) -> tuple[Rewards, RewardRules]:
    """Guards the recipe's reward functions as its keys say; reward models stay TRL's, and audits go into the rules."""
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

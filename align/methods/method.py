"""The methods a recipe can name, and what each of them brings."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from align.errors import RecipeError
from align.methods.crome.rules import check_crome
from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.methods.rrpo.rules import check_rrpo
from align.recipe.dataset import (
    DatasetConfig,
    MultipleChoiceDatasetConfig,
    PreferenceDatasetConfig,
    PromptDatasetConfig,
    RowDatasetConfig,
)
from align.recipe.problems import shown
from align.recipe.rules import suggestion

# The classes whose fields make up a config, nearest first. The contract test compares with the real dataclass, so that
# a base class added by TRL is noticed.
BASE_CHAIN = (
    ("trl", "trainer/base_config.py", "_BaseConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)
GRPO_CHAIN = (("trl", "trainer/grpo_config.py", "GRPOConfig"), *BASE_CHAIN)
ACRE_CHAIN = (("align", "methods/acre/config.py", "ACREConfig"), *GRPO_CHAIN)
RRPO_CHAIN = (
    ("align", "methods/rrpo/config.py", "RRPOConfig"),
    ("trl", "trainer/dpo_config.py", "DPOConfig"),
    *BASE_CHAIN,
)
CROME_CHAIN = (
    ("align", "methods/crome/config.py", "CromeConfig"),
    ("trl", "trainer/reward_config.py", "RewardConfig"),
    *BASE_CHAIN,
)
DECONFOUND_CHAIN = (
    ("align", "methods/deconfound/config.py", "DeconfoundConfig"),
    ("transformers", "training_args.py", "TrainingArguments"),
)


class Method(NamedTuple):
    """What a recipe of a method may say.

    Attributes:
        config_chain: Package, file and name of the classes whose fields are its training settings, nearest first.
        dataset: The `dataset` block.
        has_rewards: Whether it generates completions and rewards them.
        check_together: Refuses settings that have no meaning together; it gets a function that reads a setting.
        makes_reward_model: Whether what it trains can reward the policy of another run.
    """

    config_chain: tuple[tuple[str, str, str], ...]
    dataset: type[DatasetConfig]
    has_rewards: bool
    check_together: Callable[[Callable[[str], Any]], None] | None = None
    makes_reward_model: bool = False


METHODS: dict[str, Method] = {
    "grpo": Method(GRPO_CHAIN, PromptDatasetConfig, has_rewards=True),
    "acre": Method(ACRE_CHAIN, MultipleChoiceDatasetConfig, has_rewards=True),
    "rrpo": Method(RRPO_CHAIN, PreferenceDatasetConfig, has_rewards=False, check_together=check_rrpo),
    "crome": Method(
        CROME_CHAIN, RowDatasetConfig, has_rewards=False, check_together=check_crome, makes_reward_model=True
    ),
    "deconfound": Method(DECONFOUND_CHAIN, ObservationDatasetConfig, has_rewards=False, makes_reward_model=True),
}


def method_of(content: Mapping[str, Any]) -> str:
    """Reads the key `method` of a recipe.

    Raises:
        RecipeError: If there is none, or no such method.
    """
    method = content.get("method")
    if isinstance(method, str) and method in METHODS:
        return method
    if method is None:
        misspelt = next((key for key in content if key != "method" and suggestion(str(key), ["method"])), None)
        found = f"`{misspelt}` looks like it." if misspelt is not None else "got None."
        raise RecipeError(
            f"`method` must be one of {', '.join(METHODS)}; {found} Add a line such as `method: {_like(content)}`."
        )
    hint = suggestion(method, METHODS) if isinstance(method, str) else " Write one word, as in `method: acre`."
    raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; got {shown(method)}.{hint}")


def _like(content: Mapping[str, Any]) -> str:
    """Finds the method that a misspelt key names."""
    return next((value for value in content.values() if isinstance(value, str) and value in METHODS), "acre")

"""Names of rewards where a trainer takes texts for reward models."""

from pathlib import Path
from typing import Any

from rewards.catalog import REWARDS


def check_no_names(reward_funcs: Any) -> None:
    """Refuses names as in a recipe, which TRL would look for on the hub.

    Raises:
        ValueError: If there is one.
    """
    for func in reward_funcs if isinstance(reward_funcs, list | tuple) else [reward_funcs]:
        is_named = isinstance(func, str) and (func in REWARDS or ":" in func or func.endswith(".py"))
        if is_named and not Path(func).exists():
            raise ValueError(
                f"`reward_funcs` holds the text {func!r}, and a text is the folder or hub id of a reward model here, "
                f"not a name as in a recipe. Give the function: `rewards.resolve_reward({func!r})`."
            )

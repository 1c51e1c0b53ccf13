"""Rules between the settings of SFT, for recipes and for the config: nothing of TRL is imported."""

from collections.abc import Callable
from typing import Any

from align.recipe.rules import Rules


def check_together(setting: Callable[[str], Any]) -> None:
    """Refuses settings that mean nothing together.

    Args:
        setting: Reads a setting by name.

    Raises:
        ValueError: At the first.
    """
    if setting("packing") and setting("max_length") is None:
        raise ValueError("`packing: true` fills rows of `max_length` tokens, and that is null. Write a number.")
    if setting("padding_free") and not setting("packing") and setting("max_length") is not None:
        raise ValueError(
            f"`padding_free: true` cuts no row to `max_length: {setting('max_length')}`. Set `max_length: null`, or "
            "`packing: true`, which does."
        )
    if setting("label_smoothing_factor") and setting("loss_type") == "dft":
        raise ValueError(
            f"`label_smoothing_factor: {setting('label_smoothing_factor')}` does nothing with `loss_type: dft`. "
            "Remove one of them."
        )


RULES = Rules(together=check_together)

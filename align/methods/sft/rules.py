"""Rules between the settings of SFT, for recipes and for the config: nothing of TRL is imported."""

from typing import Any

from align.recipe.rules import Rules


def check_together(settings: Any) -> None:
    """Refuses settings that mean nothing together.

    Args:
        settings: Of a recipe, or a config.

    Raises:
        ValueError: At the first.
    """
    if settings.packing and settings.max_length is None:
        raise ValueError("`packing: true` fills rows of `max_length` tokens, and that is null. Write a number.")
    if settings.padding_free and not settings.packing and settings.max_length is not None:
        raise ValueError(
            f"`padding_free: true` cuts no row to `max_length: {settings.max_length}`. Set `max_length: null`, or "
            "`packing: true`, which does."
        )
    if settings.label_smoothing_factor and settings.loss_type == "dft":
        raise ValueError(
            f"`label_smoothing_factor: {settings.label_smoothing_factor}` does nothing with `loss_type: dft`. "
            "Remove one of them."
        )


RULES = Rules(together=check_together)

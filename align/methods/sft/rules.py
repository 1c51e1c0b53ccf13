"""The `dataset` block of SFT and rules between its settings: nothing of TRL is imported."""

from typing import Any

from pydantic import Field

from align.recipe.dataset import MEDIA, MediaSettings, RowDatasetConfig
from align.recipe.rules import Rules


def check_together(settings: Any) -> None:
    """Refuses settings that mean nothing together."""
    if settings.packing and settings.max_length is None:
        raise ValueError(
            "`packing: true` fills rows of `max_length` tokens, and `max_length` is null. Set it to a number."
        )
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


class DemonstrationDatasetConfig(RowDatasetConfig, MediaSettings):
    """Rows of `messages`, or of `prompt` and `completion`."""

    rows_are = "sft"
    read = (
        "messages", "prompt", "completion", "text", "conversations", "id", "correct", "tools", "chat_template_kwargs",
        *MEDIA,
    )  # fmt: skip
    schemas = ("video_r1_cot",)
    selects = MediaSettings.selects | {"keep_incorrect": ("correct",)}
    keep_incorrect: bool = Field(
        default=True,
        description="Whether rows with `correct: false` are learnt from, too; false leaves them out and counts them.",
    )

"""The `dataset` block of SFT."""

from pydantic import Field

from align.recipe.dataset import RowDatasetConfig


class DemonstrationDatasetConfig(RowDatasetConfig):
    """Rows of `messages`, or of `prompt` and `completion`."""

    read = (
        "messages", "prompt", "completion", "text", "conversations", "id", "correct", "tools", "chat_template_kwargs",
    )  # fmt: skip
    keep_incorrect: bool = Field(
        default=True,
        description="Whether rows with `correct: false` are learnt from, too; false leaves them out and counts them.",
    )

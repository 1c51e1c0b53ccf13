"""Training arguments as they are saved beside a model and sent to where metrics are kept."""

from typing import Any

from align.secrets import mask


class SavedWithoutSecrets:
    """Masks secrets in what is written of it.

    It is pickled into `training_args.bin`, which lies beside every checkpoint and goes to the hub, and made into a
    dictionary or JSON for wandb, trackio, tensorboard and their like; transformers hides `..._token` at the top only.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Returns the attributes to save."""
        return dict(mask(self.__dict__))

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings to show."""
        return dict(mask(super().to_dict()))  # type: ignore[misc]  # that of `TrainingArguments`

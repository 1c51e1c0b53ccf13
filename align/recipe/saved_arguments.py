"""Training arguments as they are saved beside a model and sent to where metrics are kept."""

import copy
from typing import Any

from align.secrets import mask


class SavedWithoutSecrets:
    """Masks secrets in what is written of it.

    It is pickled into `training_args.bin`, which lies beside every checkpoint, and made into a dictionary or JSON for
    wandb, trackio, tensorboard and their like; transformers hides `..._token` at the top only.
    """

    def __getstate__(self) -> dict[str, Any]:
        """Returns the attributes to save."""
        return dict(mask(self.__dict__))

    def __copy__(self) -> Any:
        """Copies within the process, where nothing is masked: a copy is trained with."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Does so with copies of the values."""
        made = memo[id(self)] = object.__new__(type(self))
        made.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return made

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings to show."""
        return dict(mask(super().to_dict()))  # type: ignore[misc]  # that of `TrainingArguments`

"""Training arguments as they are saved beside a model."""

from typing import Any

from align.secrets import mask


class SavedWithoutSecrets:
    """Masks secrets when it is pickled: `training_args.bin` lies beside every checkpoint, and goes to the hub."""

    def __getstate__(self) -> dict[str, Any]:
        """Returns the attributes to save."""
        return dict(mask(self.__dict__))

"""The model that the log-probs of a policy are compared with."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from align.errors import UserError
from align.models.checkpoint import find_checkpoint

if TYPE_CHECKING:
    from align.recipe.recipe import Recipe


def find_reference(named: str | None, models: Sequence[str], recipe: "Recipe | None") -> str:
    """Finds the model that log-probs are compared with.

    Raises:
        UserError: If it is not known.
    """
    if named is not None:
        return named
    base = find_checkpoint(models[0]).base
    if base is not None:
        return base
    if recipe is not None:
        return recipe.model.model_name_or_path
    if len(models) == 2:
        return models[1]
    raise UserError(
        f"On pairs, log-probs are compared with a reference, and that of {models[0]} is not known: it is no adapter "
        "and has no recipe beside it. Give the model that it was trained from as `--reference`."
    )

"""The push of a finished run to the hub, and what is said where it fails."""

import os
from pathlib import Path

from align.models.hub import is_pushed, refusal, repository
from align.recipe.recipe import Recipe
from align.runs.folder import record_push, was_pushed


def push(recipe: Recipe, folder: Path) -> str | None:
    """Pushes a finished run where its recipe asks for it and that is not done; its model stays where it is anyway.

    Returns:
        A sentence on why it is not on the hub, None where there is nothing to say.
    """
    repo = repository(recipe)
    if not is_pushed(recipe) or was_pushed(folder, repo) or os.environ.get("RANK", "0") != "0":
        return None
    from align.training.hub import push_finished

    try:
        place = push_finished(recipe, folder)
    except Exception as error:  # of the hub, the network and the disk: none of them takes the model away
        return (
            f"The run is finished and its model is in {folder}, but it is not on the hub: {refusal(error, repo)} The "
            "same command with `--resume auto` pushes it, without a step."
        )
    record_push(folder, place)
    print(f"Model, tokenizer and card are at {place}.")
    return None

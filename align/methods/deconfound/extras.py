from collections.abc import Iterator
from typing import cast

from align.methods.deconfound.dataset import ObservationDatasetConfig
from align.recipe.recipe import Recipe

READS_TEXT = ("iv", "dml", "fixed_effects")  # estimators that control for the text


def extras(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    """Yields extra, what needs it, and which modules of it."""
    if recipe.settings.head == "ridge":
        yield "deconfound", "`head: ridge`"
    data = cast(ObservationDatasetConfig, recipe.dataset)
    if data.correction is None and data.estimator in READS_TEXT:
        yield "deconfound", f"`dataset.estimator: {data.estimator}`"

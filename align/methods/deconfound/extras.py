from collections.abc import Iterator

from align.recipe.recipe import Recipe

SOLVES_HEAD = ("sklearn",)  # of the extra; its estimators name their packages when the data is read


def extras(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    """Yields extra, what needs it, and which modules of it."""
    if recipe.setting("head") == "ridge":
        yield "deconfound", "`head: ridge`", *SOLVES_HEAD

"""The key `method` of a recipe."""

from collections.abc import Collection, Mapping
from typing import Any

from align.errors import RecipeError
from align.methods import METHODS
from align.recipe.problems import shown
from align.recipe.rules import suggestion

EXAMPLE = next(iter(METHODS))


def method_of(content: Mapping[str, Any]) -> str:
    """Reads the key `method` of a recipe.

    Raises:
        RecipeError: If there is none, or no such method.
    """
    method = content.get("method")
    if isinstance(method, str) and method in METHODS:
        return method
    if method is None:
        raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; {word_missing(content, METHODS)}")
    hint = suggestion(method, METHODS) if isinstance(method, str) else f" Write one word, as in `method: {EXAMPLE}`."
    raise RecipeError(f"`method` must be one of {', '.join(METHODS)}; got {shown(method)}.{hint}")


def word_missing(content: Mapping[str, Any], methods: Collection[str], prefix: str = "") -> str:
    """Says what stands there in place of the key, and which line to add, with the method that a misspelt key names."""
    misspelt = next((key for key in content if key != "method" and suggestion(str(key), ["method"])), None)
    absent = "got None." if "method" in content else "it is missing."
    found = f"`{prefix}{misspelt}` looks like it." if misspelt is not None else absent
    like = next((value for value in content.values() if isinstance(value, str) and value in methods), None)
    return f"{found} Add a line such as `method: {like or next(iter(methods))}`."

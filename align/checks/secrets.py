"""Secrets of a recipe that its copy in a run folder does not hold."""

from align.checks.finding import Finding
from align.recipe.recipe import Recipe
from align.secrets import masked_keys


def check_secrets(recipe: Recipe) -> list[Finding]:
    """Finds values that were masked when the recipe was saved, and would now be used as they stand there."""
    keys = [key for key in masked_keys(recipe.resolved) if not key.startswith("then.")]
    if not keys:
        return []
    option = f"then.{keys[0]}" if recipe.trained is not None else keys[0]
    named = ", ".join(f"`{key}`" for key in keys)
    text = (
        f"{named} was masked when this recipe was saved, and its value is not in the file. Give it again with "
        f"`--{option} VALUE`"
    )
    if keys[0] == "hub_token":
        text += f", or take it from the environment: set HF_TOKEN and give `--{option} null`"
    return [Finding("error", "secrets", f"{text}.")]

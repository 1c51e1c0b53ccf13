"""Whether the tokens that a recipe names are in the vocabulary: TRL looks once the model is loaded."""

from align.checks.finding import Finding
from align.checks.lengths import load_tokenizer
from align.recipe.recipe import Recipe

NAMED = ("pad_token", "eos_token")


def check_tokens(recipe: Recipe) -> list[Finding]:
    """Finds a named token that the tokenizer, where it is on this machine, does not have."""
    named = {name: recipe.setting(name) for name in NAMED if recipe.has_setting(name) and recipe.setting(name)}
    tokenizer = load_tokenizer(recipe) if named else None
    if tokenizer is None or recipe.model.chat_template_path:  # which may bring tokens with it
        return []
    return [
        Finding(
            "error",
            "model",
            f"`{name}`: {token!r} is no token of {recipe.model.model_name_or_path}. Name one of its tokens, or remove "
            "the key.",
        )
        for name, token in named.items()
        if tokenizer.tokenizer.token_to_id(token) is None
    ]

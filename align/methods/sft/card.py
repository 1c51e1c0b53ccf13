from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows

NOT_SHOWN = "that the model keeps what it could do before, and that it is right where its demonstrations were not"
TITLE = "Training language models to follow instructions with human feedback"


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says how much was demonstrated."""
    return Card("sft", "SFT", "2203.02155", TITLE, NOT_SHOWN, {"demonstrations": len(rows)})

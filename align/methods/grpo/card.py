from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what TRL's GRPO was trained towards."""
    return Card(
        "grpo",
        "GRPO",
        "2402.03300",
        "DeepSeekMath: Pushing the Limits of Mathematical Reasoning in Open Language Models",
        "that what the rewards pay for is what was meant, and anything on prompts unlike those of the data",
    )

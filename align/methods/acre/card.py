import json
from typing import cast

from align.methods.rollouts.card import SETTINGS
from align.recipe.dataset import MultipleChoiceDatasetConfig
from align.recipe.recipe import Recipe
from align.training.model_card import Card, Rows


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what ACRE was trained towards, and with which prompt."""
    template = cast(MultipleChoiceDatasetConfig, recipe.dataset).prompt_template
    return Card(
        "acre",
        "ACRE",
        "2510.10104",
        "Answer-Consistent Chain-of-thought Reinforcement Learning For Multi-modal Large Language Models",
        SETTINGS,
        "accuracy on other tasks, and answers outside multiple choice",
        facts={"prompt": f"`{json.dumps(template, ensure_ascii=False)}`"},
    )

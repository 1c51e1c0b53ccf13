import json
from typing import cast

from align.recipe.dataset import MultipleChoiceDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import short_name
from align.training.model_card import Card, Rows


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what ACRE was trained towards, and with which prompt or which families."""
    if recipe.settings.families:
        names = ", ".join(f"`{short_name(spec) or spec}`" for spec in recipe.settings.families)
        facts, unknown = {"prompts changed by": names}, "how answers hold under other changes of a prompt"
    else:
        template = cast(MultipleChoiceDatasetConfig, recipe.dataset).prompt_template
        facts, unknown = {"prompt": f"`{json.dumps(template, ensure_ascii=False)}`"}, "answers outside multiple choice"
    return Card(
        "acre",
        "ACRE",
        "2510.10104",
        "Answer-Consistent Chain-of-thought Reinforcement Learning For Multi-modal Large Language Models",
        f"accuracy on other tasks, and {unknown}",
        facts=facts,
    )

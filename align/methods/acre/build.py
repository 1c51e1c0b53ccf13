import json
from typing import Any, cast

from align.data.training_data import TrainingData
from align.methods.acre.second_pass import SecondPassTrainer
from align.methods.acre.text_trainer import TextACRETrainer
from align.methods.acre.tool_trainer import ToolACRETrainer
from align.methods.acre.trainer import ACRETrainer
from align.methods.rollouts.prompt_data import rows_together
from align.methods.rollouts.tool_checks import uses_tools
from align.methods.rollouts.tool_rollouts import quiet_about_environments, tools_of
from align.recipe.dataset import MultipleChoiceDatasetConfig, PromptDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import short_name
from align.training.guarded_rewards import Rewards, rewarded_arguments
from align.training.model_card import Card, Rows


def build(recipe: Recipe, data: TrainingData[Any], rewards: Rewards) -> SecondPassTrainer:
    """Builds ACRE on letters, on texts where the recipe names families, or behind results where it names tools."""
    given = rewarded_arguments(recipe, data, rewards)
    if not recipe.settings.families:
        questions = cast(MultipleChoiceDatasetConfig, recipe.dataset)
        anew = questions.seed if questions.shuffle_options in ("every_visit", "within_group") else None
        shown: dict[str, Any] = {"shuffle_seed": anew, "within_group": questions.shuffle_options == "within_group"}
        return ACRETrainer(**given, render_prompt=data.extra.render, labels=questions.labels, **shown)
    functions = [*given["reward_funcs"], *given["reward_rules"].audits]
    named = dict(zip(map(short_name, recipe.reward_specs), functions, strict=True))
    labels = cast(PromptDatasetConfig, recipe.dataset).labels
    own = {"families": data.extra, "answer_reward": named.get(recipe.settings.answer_reward), "labels": labels}
    if not uses_tools(recipe):
        return TextACRETrainer(**given, **rows_together(recipe), **own)
    with quiet_about_environments():
        return ToolACRETrainer(**given, **rows_together(recipe), **own, **tools_of(recipe))


def card(recipe: Recipe, rows: Rows) -> Card:
    """Says what ACRE was trained towards, and with which prompt or which families."""
    if recipe.settings.families:
        names = ", ".join(f"`{short_name(spec) or spec}`" for spec in recipe.settings.families)
        many, one = ("results of tools", "a result") if uses_tools(recipe) else ("prompts", "a prompt")
        facts, unknown = {f"{many} changed by": names}, f"how answers hold under other changes of {one}"
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

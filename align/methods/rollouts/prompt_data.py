"""Prompts: read, validated row by row, and put to the rewards."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from align.checks.counts import check_counts
from align.checks.finding import Finding
from align.checks.images import check_images
from align.checks.lengths import check_lengths, leave_out_long
from align.checks.rewards import check_rewards
from align.data.prompt_rows import PromptReport, PromptRow, load_prompts, prompts_to_rows
from align.data.row_templates import template_of
from align.data.training_data import TrainingData, load_training_data
from align.methods.rollouts.versions import add_versions, check_versions
from align.recipe.dataset import PromptDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def load(recipe: Recipe) -> TrainingData[PromptRow]:
    """Reads the prompts of a recipe, or makes them, with the versions that it asks for.

    Raises:
        DataError: If the data cannot be read, or has rows that cannot be used and should not be skipped.
    """
    data = cast(PromptDatasetConfig, recipe.dataset)
    template = template_of(data)

    def read(source: PromptDatasetConfig) -> tuple[Sequence[PromptRow], PromptReport]:
        found = load_prompts(
            source.path,
            split=source.split,
            on_bad_rows=source.on_bad_rows,
            max_rows=source.max_rows,
            media=source,
            columns=source.columns,
            template=template,
        )
        return leave_out_long(recipe, source, found, prompts_to_rows)

    return add_versions(load_training_data(data, read, prompts_to_rows), data, template)


def check(
    recipe: Recipe,
    data: TrainingData[PromptRow],
    rewards: Sequence[Reward],
    *,
    is_rewarded: bool = False,
    trial_columns: Mapping[str, Any] | None = None,
) -> list[Finding]:
    """Counts prompts, tries every reward on responses to some of them, and measures lengths.

    Args:
        recipe: The recipe.
        data: What was read.
        rewards: Those of the recipe.
        is_rewarded: Whether something else may reward, so that no reward is needed.
        trial_columns: Values that every row has when rewards are tried, beside those of the data.
    """
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    findings += check_versions(recipe, data, rewards)
    forms = {isinstance(row["prompt"], str) for row in (*data.rows, *data.eval_rows)}
    if len(forms) > 1:
        text = "Some prompts are texts and some are messages, and TRL reads one form. Write all of them in one."
        return [*findings, Finding("error", "data", text)]
    if not recipe.reward_specs and not is_rewarded:
        text = "`reward_funcs` names no reward, and GRPO learns from nothing else. Name at least one."
        return [*findings, Finding("error", "rewards", text)]
    if rewards:  # else it was said why there are none
        rows = [row | dict(trial_columns) for row in data.rows] if trial_columns else data.rows
        findings += check_rewards(recipe, rewards, rows)
    images = check_images(recipe, data.rows)
    return findings + images.findings + check_lengths(recipe, data.rows, images.tokens)

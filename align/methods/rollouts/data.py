"""The recipe's prompts for GRPO: read, validated row by row, and put to the rewards."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

from align.checks.finding import Finding
from align.checks.images import check_images
from align.checks.lengths import check_lengths
from align.checks.rewards import Reward, check_rewards
from align.data.problems import DataReport
from align.data.prompt_rows import PromptRow, load_prompts, prompts_to_rows
from align.methods.acre.data import check_counts, fingerprints
from align.recipe.dataset import PromptDatasetConfig
from align.recipe.recipe import Recipe


class LoadedPrompts(NamedTuple):
    """Prompts and the rows a trainer reads."""

    prompts: list[PromptRow]
    report: DataReport
    rows: list[dict[str, Any]]
    eval_rows: list[dict[str, Any]]
    fingerprints: dict[str, str]  # SHA-256 of each local file
    eval_report: DataReport | None = None  # None without rows for evaluation


def load_prompt_data(recipe: Recipe) -> LoadedPrompts:
    """Reads the prompts of a recipe.

    Raises:
        DataError: If the data cannot be read, or has rows that cannot be used and should not be skipped.
    """
    data = cast(PromptDatasetConfig, recipe.dataset)
    prompts, report = load_prompts(
        data.path,
        split=data.split,
        on_bad_rows=data.on_bad_rows,
        max_rows=data.max_rows,
        media=data,
        columns=data.columns,
    )
    evaluation: list[PromptRow] = []
    eval_report = None
    if data.eval_path is not None:
        evaluation, eval_report = load_prompts(
            data.eval_path, split=data.eval_split, on_bad_rows=data.on_bad_rows, media=data, columns=data.columns
        )
    rows, eval_rows = prompts_to_rows(prompts), prompts_to_rows(evaluation)
    return LoadedPrompts(prompts, report, rows, eval_rows, fingerprints(data), eval_report)


def check_prompt_data(recipe: Recipe, data: LoadedPrompts, rewards: Sequence[Reward]) -> list[Finding]:
    """Counts prompts, tries every reward on responses to some of them, and measures lengths."""
    findings = check_counts(recipe.dataset, data.report, len(data.eval_rows), data.eval_report)
    forms = {isinstance(row["prompt"], str) for row in data.rows + data.eval_rows}
    if len(forms) > 1:
        text = "Some prompts are texts and some are messages, and TRL reads one form. Write all of them in one."
        return [*findings, Finding("error", "data", text)]
    if not recipe.reward_specs:
        text = "`reward_funcs` names no reward, and GRPO learns from nothing else. Name at least one."
        return [*findings, Finding("error", "rewards", text)]
    if rewards:  # else it was said why there are none
        findings += check_rewards(recipe, rewards, data.rows)
    images = check_images(recipe, data.rows)
    return findings + images.findings + check_lengths(recipe, data.rows, images.tokens)

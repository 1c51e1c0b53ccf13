"""Prompts: read, validated row by row, and put to the rewards."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from align.checks.counts import check_counts
from align.checks.finding import Finding
from align.checks.images import check_images
from align.checks.lengths import check_lengths, leave_out_long
from align.checks.rewards import check_rewards
from align.data.problems import DataReport
from align.data.prompt_rows import PromptReport, PromptRow, load_prompts, prompts_to_rows
from align.data.row_templates import RowTemplate, template_of
from align.data.training_data import Rows, TrainingData, load_training_data
from align.data.versions import FAMILY, ORIGIN, perturb_rows, word_in_turn
from align.recipe.dataset import PromptDatasetConfig
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from rewards.running.contract.signature import read_parameters
from rewards.running.protocol import reward_name
from rewards.scoring.perturbations import ORIGINAL


def load(recipe: Recipe) -> TrainingData[PromptRow]:
    """Reads the prompts of a recipe, or makes them, with the versions that it asks for."""
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
    """Counts prompts, tries every reward on responses to some of them, and measures lengths."""
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


def add_versions(
    data: TrainingData[Any], block: PromptDatasetConfig, template: RowTemplate | None
) -> TrainingData[Any]:
    """Makes the versions of rows that a `dataset` block asks for, and counts rows that cannot be changed."""
    if template is not None and len(template.wordings) > 1:
        rows, eval_rows = (word_in_turn(each, template) for each in (data.rows, data.eval_rows))
        return data._replace(rows=rows, eval_rows=eval_rows)
    if not block.perturb and not block.eval_perturb:
        return data
    seed = block.perturb_seed
    rows, unchanged = perturb_rows(data.rows, block.perturb or [], template, seed=seed)
    cast(PromptReport, data.report).num_unchanged = dict(unchanged)
    if not data.eval_rows:
        return data._replace(rows=rows)
    eval_rows, unchanged = perturb_rows(data.eval_rows, block.eval_families, template, seed=seed)
    cast(PromptReport, data.eval_report).num_unchanged = dict(unchanged)
    return data._replace(rows=rows, eval_rows=eval_rows)


def rows_together(recipe: Recipe) -> dict[str, Any]:
    """Returns how many rows have to stay together, in the words of `RowsTogether`."""
    return {name: getattr(recipe.dataset, name) for name in ("rows_together", "eval_rows_together")}


def check_versions(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Says what versions were made, which rows are left out, and whether a reward compares them."""
    block = cast(PromptDatasetConfig, recipe.dataset)
    findings = _describe("training", data.rows, data.report, block.rows_together)
    findings += _describe("evaluation", data.eval_rows, data.eval_report, block.eval_rows_together)
    if (block.perturb or block.eval_perturb) and rewards and not any(map(_reads(ORIGIN), rewards)):
        text = (
            "`dataset.perturb` makes versions of each row, and no reward reads `origin` to compare the answers to "
            "them. Add `perturbation_consistency`, or remove the key."
        )
        findings.append(Finding("warning", "data", text))
    trained = rewards[: len(recipe.reward_funcs)]
    name = next((reward_name(cast(Any, reward)) for reward in trained if _reads(FAMILY)(reward)), None)
    if block.perturb and name and recipe.settings.scale_rewards in ("group", True):
        text = (
            f"`{name}` gives all right responses to one prompt the same, and `scale_rewards: group` divides that out "
            "again. Set `scale_rewards: batch` or `none`, with which a prompt whose right answers do not survive a "
            "version pulls less."
        )
        findings.append(Finding("warning", "rewards", text))
    return findings


def _describe(what: str, rows: Rows, report: DataReport | None, together: int) -> list[Finding]:
    if together == 1 or report is None:
        return []
    families = list(dict.fromkeys(row[FAMILY] for row in rows if row.get(FAMILY, ORIGINAL) != ORIGINAL))
    how = f"as they are, and perturbed ({', '.join(families)})" if families else "in each wording"
    text = f"{len(rows) // together:,} rows for {what} are asked {together} times, {how}, next to each other."
    numbers = {"rows": len(rows), "together": together}
    findings = [Finding("ok", "data", text, numbers)]
    unchanged = cast(PromptReport, report).num_unchanged
    if unchanged:
        counts = ", ".join(f"{count:,} by {family}" for family, count in unchanged.items())
        text = (
            f"Rows for {what} are left out that a family of `perturb` cannot change without changing what they ask: "
            f"{counts}. The reward needs all versions of a row."
        )
        findings.append(Finding("warning", "data", text, dict(unchanged)))
    return findings


def _reads(column: str) -> Callable[[Reward], bool]:
    return lambda reward: not isinstance(reward, str) and column in read_parameters(reward).columns

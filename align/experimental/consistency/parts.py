"""What a run with consistency is checked for, keeps in memory, and puts on its card and page."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from align.checks.finding import Finding
from align.checks.memory import Footprint, activations
from align.checks.rewards import Change, try_families
from align.data.training_data import TrainingData
from align.experimental.consistency.rules import (
    NO_IMAGES,
    consistency_families,
    families_of,
    other_prompt,
    other_wording,
    prompt_of,
)
from align.methods.acre import data as acre
from align.methods.rollouts import environment_checks as grpo
from align.methods.rollouts.prompt_data import footprint
from align.methods.rollouts.report import REPORT as ROLLOUT_REPORT
from align.methods.rollouts.tool_report import REPORT as GRPO_REPORT
from align.methods.sft import data as sft
from align.methods.sft.report import REPORT as SFT_REPORT
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.report.charts.panel import Panel
from align.training.model_card import Card, Rows
from rewards.scoring.families import ON_PROMPTS

TITLE = "Diagnosing and Mitigating Modality Interference in Multimodal Large Language Models"
NO_FLIPS = "that answers stay as they are under perturbations that it was not trained on"
FACTS = {
    "consistency_coef": "Weight of the divergence (consistency_coef)",
    "consistency_families": "Families that perturb prompts",
    "consistency_divergence": "Divergence",
}
PANEL = Panel(
    "Divergence under a perturbed prompt, nats",
    "Between the answer's tokens behind both prompts, mean over tokens; `consistency_coef` times it is part of the "
    "loss. The Jensen-Shannon divergence is at most 0.69. Near 0 the answers do not depend on the perturbation.",
    {"consistency/divergence": "divergence"},
)
COMPARED = Panel("Divergence under a perturbed prompt", "On each run's own families.", {"consistency/divergence": ""})
OF_SFT, OF_GRPO, OF_ACRE = (
    report.beside(FACTS, [PANEL], [COMPARED]) for report in (SFT_REPORT, GRPO_REPORT, ROLLOUT_REPORT)
)


def check_sft(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks demonstrations as for SFT, and tries the families on the prompts of rows from all over them."""
    findings, prompts = sft.check(recipe, data, rewards), []
    if any(row.get("images") for row in data.rows):
        return [*findings, Finding("error", "images", NO_IMAGES)]
    for row in data.rows:
        try:
            prompts.append({"id": row["id"], "prompt": prompt_of(row)})
        except ValueError as error:
            return [*findings, Finding("error", "data", f"Row {row['id']}: {error}")]
    return findings + _try(recipe, prompts)


def check_grpo(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts as for GRPO, and tries the families on them."""
    return grpo.check(recipe, data, rewards) + _try(recipe, data.rows)


def check_acre(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks questions or prompts as for ACRE, and tries the families on them."""
    if recipe.settings.families:
        change: Change = partial(other_prompt, gold_column=recipe.settings.gold_column)
    else:
        change = partial(other_wording, render=data.extra.render)
    return acre.check(recipe, data, rewards) + _try(recipe, data.rows, change, families_of(recipe.settings))


def _try(
    recipe: Recipe, rows: Sequence[Mapping[str, Any]], change: Change = other_prompt, known: Sequence[str] = ON_PROMPTS
) -> list[Finding]:
    if any(row.get("images") for row in rows):
        return [Finding("error", "families", NO_IMAGES)]
    try:
        families = consistency_families(recipe.settings.consistency_families, recipe.path.parent, known)
    except ValueError as error:
        return [Finding("error", "families", str(error))]
    return try_families(families, rows, change, "their answers are not compared")


def footprint_sft(recipe: Recipe) -> Footprint:
    """Says that each row is read behind two prompts."""
    both = activations(recipe, 2, "sequences", " (each row behind two prompts)")
    return Footprint(f"{both}, and the scores of both answers over the vocabulary")


def footprint_rollouts(recipe: Recipe) -> Footprint:
    """Says that each completion is read behind two prompts."""
    alone = footprint(recipe)
    return alone._replace(on_top=f"{alone.on_top}, behind two prompts each,")


def card_sft(recipe: Recipe, rows: Rows) -> Card:
    """Says how much was demonstrated."""
    from align.methods.sft.trainer import card as sft_card  # not above: a page is written without TRL

    return sft_card(recipe, rows)._replace(
        name="SFT with consistency", paper="2505.19616", title=TITLE, not_shown=NO_FLIPS
    )

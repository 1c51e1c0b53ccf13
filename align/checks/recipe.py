"""All checks of a run: of its settings alone, and of the data and rewards that were loaded for it."""

from collections.abc import Sequence
from typing import Any

from align.checks.adapter import check_adapter
from align.checks.batch import check_batch
from align.checks.chat_template import check_chat_template
from align.checks.costs import check_costs
from align.checks.finding import Finding
from align.checks.hub import check_hub
from align.checks.launch import Launch
from align.checks.launched import check_processes, check_quantized, check_sharded
from align.checks.lengths import check_tokens
from align.checks.memory import check_memory
from align.checks.model import check_model
from align.checks.model_kwargs import check_experts, check_model_kwargs
from align.checks.needs import check_extras, check_needs, check_secrets
from align.checks.output import check_room
from align.checks.rows import check_mixture, check_rows
from align.checks.trackers import check_trackers
from align.checks.versions import check_versions
from align.checks.vllm_models import check_cpu_engine
from align.checks.vllm_server import check_vllm_server
from align.data.training_data import TrainingData
from align.methods import METHODS
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def check_settings(recipe: Recipe, launch: Launch) -> list[Finding]:
    """Checks a run before anything is loaded for it, in the order in which a user would mend what is wrong."""
    findings = _experimental(recipe) + check_versions(recipe) + check_extras(recipe, launch) + check_needs(recipe)
    findings += check_processes(recipe, launch) + check_sharded(recipe, launch) + check_quantized(recipe, launch)
    findings += check_trackers(recipe) + check_secrets(recipe) + check_model(recipe)
    findings += check_adapter(recipe) + check_tokens(recipe) + check_experts(recipe)
    findings += check_cpu_engine(recipe) + check_model_kwargs(recipe) + check_chat_template(recipe)
    return findings + check_hub(recipe)


def check_loaded(
    recipe: Recipe, launch: Launch, data: TrainingData[Any] | None, rewards: Sequence[Reward]
) -> list[Finding]:
    """Checks what was loaded for a run, and then whether the machine has the room.

    Args:
        recipe: Of the run.
        launch: Under which it is made.
        data: None if it could not be read.
        rewards: As far as they could be found.
    """
    findings: list[Finding] = []
    if data is not None:
        findings += recipe.record.part("check")(recipe, data, rewards)
        findings += check_mixture(data) + check_rows(recipe, data)
        batch = check_batch(recipe, launch, len(data.rows))
        findings += batch + check_costs(recipe, launch, data, rewards, batch)
    findings += check_vllm_server(recipe, data.rows if data is not None else [])
    return findings + check_memory(recipe, launch) + check_room(recipe, launch)


def _experimental(recipe: Recipe) -> list[Finding]:
    """Says what of a run no lab speaks for."""
    on = [key for each in METHODS[recipe.method].variants for key in each.part("turned_on")(recipe.settings)]
    if not on:
        return []
    keys = " and ".join(f"`{key}: {getattr(recipe.settings, key)}`" for key in dict.fromkeys(on))
    text = f"No lab speaks for {keys}, and what it turns on may change or go in any version."
    return [Finding("warning", "experimental", text)]

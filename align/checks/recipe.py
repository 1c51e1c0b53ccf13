"""All checks of a run: of its settings alone, of the data and rewards that were loaded for it, and of two runs."""

from collections.abc import Sequence
from typing import Any

from align.checks.costs import check_costs
from align.checks.finding import Finding
from align.checks.launch import Launch, check_processes, check_quantized, check_sharded
from align.checks.memory import check_memory, check_room
from align.checks.model import check_adapter, check_experts, check_model, check_model_kwargs
from align.checks.needs import check_extras, check_hub, check_needs, check_secrets, check_trackers, check_versions
from align.checks.rewards import PREFIXED
from align.checks.rows import check_mixture, check_rows
from align.checks.tokenizer import check_chat_template, check_tokens
from align.checks.vllm_server import check_cpu_engine, check_vllm_server
from align.data.training_data import TrainingData
from align.methods import METHODS
from align.models.model_files import ModelFiles
from align.recipe.fields import deprecations
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


def check_settings(recipe: Recipe, model: ModelFiles, launch: Launch) -> list[Finding]:
    """Checks a run before anything is loaded for it, in the order in which a user would mend what is wrong."""
    findings = _experimental(recipe) + _deprecated(recipe) + check_versions(recipe)
    findings += check_extras(recipe, launch) + check_needs(recipe) + check_trackers(recipe) + check_secrets(recipe)
    findings += check_processes(recipe, launch) + check_sharded(recipe, launch) + check_quantized(recipe, launch)
    findings += check_model(recipe, model) + check_adapter(recipe, model) + check_experts(recipe, model)
    findings += check_model_kwargs(recipe, model) + check_tokens(recipe, model) + check_chat_template(recipe, model)
    findings += check_cpu_engine(recipe, model)
    return findings + check_hub(recipe)


def check_loaded(
    recipe: Recipe, model: ModelFiles, launch: Launch, data: TrainingData[Any] | None, rewards: Sequence[Reward]
) -> list[Finding]:
    """Checks what was loaded for a run, as far as it could be, and then whether the machine has the room."""
    findings: list[Finding] = []
    if data is not None:
        findings += recipe.record.part("check")(recipe, data, rewards)
        findings += check_mixture(data) + check_rows(recipe, data)
        batch = recipe.record.part("check_batch")(recipe, launch, len(data.rows))
        findings += batch + check_costs(recipe, launch, data, rewards, batch)
    findings += check_vllm_server(recipe, model, data.rows if data is not None else [])
    return findings + check_memory(recipe, model, launch) + check_room(recipe, model, launch)


def _experimental(recipe: Recipe) -> list[Finding]:
    """Says what of a run no lab speaks for."""
    on = [key for each in METHODS[recipe.method].variants for key in each.part("turned_on")(recipe.settings)]
    if not on:
        return []
    keys = " and ".join(f"`{key}: {getattr(recipe.settings, key)}`" for key in dict.fromkeys(on))
    text = f"No lab speaks for {keys}, and what it turns on may change or go in any version."
    return [Finding("warning", "experimental", text)]


def _deprecated(recipe: Recipe) -> list[Finding]:
    """Says which settings TRL will not take any more, in its words, which name what to write instead."""
    configs = [(package, file) for package, file, _ in recipe.record.config_chain if package == "trl"]
    trainers = [(package, file.replace("_config", "_trainer")) for package, file in configs if "base" not in file]
    found: dict[str, str] = {}
    for source in (*configs, *trainers):
        found |= deprecations(source, recipe.settings)
    return [Finding("warning", "deprecated", f"`{key}`: TRL says: {text}") for key, text in found.items()]


def check_chain(model: ModelFiles, first: TrainingData[Any], second: TrainingData[Any]) -> list[Finding]:
    """Compares what the reward model learns from with what it will be asked about."""
    findings = []
    if prefix := first.extra.scale.prefix if hasattr(first.extra, "scale") else "":
        findings.append(Finding("error", "chain", f"The reward model: {PREFIXED.format(prefix=prefix)}"))
    learns, reads = ("texts" if isinstance(each.rows[0]["prompt"], str) else "messages" for each in (first, second))
    if reads == "messages" and model.tokenizer is not None and not model.chat_template:
        text = (
            f"The prompts of `then` are messages, and the tokenizer of the reward model, {model.name}, has no chat "
            "template. Set `chat_template_path`, or write texts."
        )
        return [*findings, Finding("error", "chain", text)]
    if learns != reads:
        text = f"The reward model learns from {learns} and will be asked about {reads}. Write both in one form."
        return [*findings, Finding("warning", "chain", text)]
    return [*findings, Finding("ok", "chain", f"The reward model learns from {learns}, and scores {reads}, too.")]

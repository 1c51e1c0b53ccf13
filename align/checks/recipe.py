"""All checks of a recipe, in the order in which a user would mend them."""

from dataclasses import replace
from typing import Any, NamedTuple

from align.checks.adapter import check_adapter
from align.checks.batch import check_batch
from align.checks.chain import check_chain
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
from align.checks.rewards import check_loading, resolve_rewards
from align.checks.rows import check_mixture, check_rows
from align.checks.trackers import check_trackers
from align.checks.versions import check_versions
from align.checks.vllm_models import check_cpu_engine
from align.checks.vllm_server import check_vllm_server
from align.data.training_data import TrainingData
from align.recipe.model import ModelSettings
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

Rewards = list[Reward]
_SECOND = "then: "  # before the name of a check of the second run


class Checked(NamedTuple):
    """The findings, and what training needs of what was read to find them."""

    findings: list[Finding]
    data: TrainingData[Any] | None  # None if the data could not be read
    rewards: Rewards
    then: "Checked | None" = None  # of the second run; its findings are among `findings`, too

    @property
    def first(self) -> "Checked":
        """What is about the first run, or about both."""
        return self._replace(findings=[each for each in self.findings if not each.check.startswith(_SECOND)])

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings that a run goes on with, rows left out among them."""
        return [finding for finding in self.findings if finding.level == "warning"]


def check_recipe(recipe: Recipe, launch: Launch) -> Checked:
    """Checks data, lengths, batch, rewards, versions and memory; nothing is written and no model is loaded."""
    checked = _check_run(recipe, launch)
    if recipe.then is None:
        return checked
    starts = recipe.then.model.model_name_or_path == recipe.then.trained
    then = _check_run(_on_known_model(recipe.then, recipe.model) if starts else recipe.then, launch)
    findings = checked.findings + [finding._replace(check=f"{_SECOND}{finding.check}") for finding in then.findings]
    if starts:
        findings.append(Finding("ok", "chain", "The second run starts from the model that the first trains."))
    elif checked.data is not None and then.data is not None:
        findings += check_chain(recipe, checked.data, then.data, launch)
    return checked._replace(findings=findings, then=then)


def _on_known_model(second: Recipe, first: ModelSettings) -> Recipe:
    """Has a run checked on the model that the run before starts from: its own is not there yet, and is like it."""
    known = {name: getattr(first, name) for name in ("model_name_or_path", "model_revision")}
    known["chat_template_path"] = second.model.chat_template_path or first.chat_template_path  # saved with the model
    return replace(second, model=second.model.model_copy(update=known))


def _check_run(recipe: Recipe, launch: Launch) -> Checked:
    method = recipe.record
    findings = _experimental(recipe) + check_versions(recipe) + check_extras(recipe, launch) + check_needs(recipe)
    findings += check_processes(recipe, launch) + check_sharded(recipe, launch) + check_quantized(recipe, launch)
    findings += check_trackers(recipe) + check_secrets(recipe) + check_model(recipe)
    findings += check_adapter(recipe) + check_tokens(recipe) + check_experts(recipe)
    findings += check_cpu_engine(recipe) + check_model_kwargs(recipe) + check_chat_template(recipe) + check_hub(recipe)
    rewards: Rewards = []
    data = None
    try:
        unloadable = check_loading(recipe)
        findings += unloadable
        rewards = [] if unloadable else resolve_rewards(recipe)
    except (ValueError, TypeError, OSError) as error:
        findings.append(Finding("error", "rewards", str(error)))
    try:
        data = method.part("load")(recipe)
    except (ValueError, OSError) as error:
        is_said = isinstance(error.__cause__, ImportError) and any(each.check == "extras" for each in findings)
        findings += [] if is_said else [Finding("error", "data", str(error))]
    if data is not None:
        findings += method.part("check")(recipe, data, rewards)
        findings += check_mixture(data) + check_rows(recipe, data)
        batch = check_batch(recipe, launch, len(data.rows))
        findings += batch + check_costs(recipe, launch, data, rewards, batch)
    findings += check_vllm_server(recipe, data.rows if data is not None else [])
    findings += check_memory(recipe, launch) + check_room(recipe, launch)
    return Checked(findings, data, rewards)


def _experimental(recipe: Recipe) -> list[Finding]:
    """Says what of a run no lab speaks for."""
    turned_on = recipe.record.part("turned_on")
    if turned_on is None:
        return []
    keys = " and ".join(f"`{key}: {recipe.setting(key)}`" for key in turned_on(recipe.setting))
    text = f"No lab found a gain from {keys} that lasts, and what it turns on may change or go in any version."
    return [Finding("warning", "experimental", text)]

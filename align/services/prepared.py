"""A run is recipe -> rewards -> data -> trainer: what is loaded before the trainer, and what is wrong with it.

`align check` ends here, and `align train` goes on from the same objects. Nothing is written and no model is loaded.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.recipe import check_chain, check_loaded, check_settings
from align.checks.rewards import check_loading
from align.data.training_data import TrainingData
from align.errors import RecipeError
from align.models.model_files import ModelFiles
from align.models.rewards import resolve_rewards
from align.recipe.model import ModelSettings
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

_SECOND = "then: "  # before the name of a check of the second run


class Prepared(NamedTuple):
    """A recipe's runs before their trainers are built."""

    findings: list[Finding]  # of all runs
    data: TrainingData[Any] | None  # of the first run; None if it could not be read
    rewards: list[Reward]
    model: ModelFiles  # that a run starts from
    then: "Prepared | None" = None  # the second run; its findings are among `findings`, too

    @property
    def runs(self) -> list["Prepared"]:
        """The runs in order, each with the findings that are about it; those about both are the first's."""
        own = [each for each in self.findings if not each.check.startswith(_SECOND)]
        return [self._replace(findings=own, then=None), *([self.then] if self.then is not None else [])]

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run."""
        return [finding for finding in self.findings if finding.level == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """The findings that a run goes on with, rows left out among them."""
        return [finding for finding in self.findings if finding.level == "warning"]

    @property
    def training_data(self) -> TrainingData[Any]:
        """The data of the first run, which a trainer cannot do without."""
        if self.data is None:
            raise RecipeError("The data could not be read.")
        return self.data


def prepare(recipe: Recipe, launch: Launch) -> Prepared:
    """Loads and checks what the runs of a recipe need before a trainer can be built."""
    first = _prepare_run(recipe, launch)
    if recipe.then is None:
        return first
    starts = recipe.then.model.model_name_or_path == recipe.then.trained
    then = _prepare_run(_on_known_model(recipe.then, recipe.model) if starts else recipe.then, launch)
    findings = first.findings + [finding._replace(check=f"{_SECOND}{finding.check}") for finding in then.findings]
    if starts:
        findings.append(Finding("ok", "chain", "The second run starts from the model that the first trains."))
    elif first.data is not None and then.data is not None:
        findings += check_chain(first.model, first.data, then.data)
    return first._replace(findings=findings, then=then)


def _on_known_model(second: Recipe, first: ModelSettings) -> Recipe:
    """Has a run checked on the model that the run before starts from: its own is not there yet, and is like it."""
    known = {name: getattr(first, name) for name in ("model_name_or_path", "model_revision")}
    known["chat_template_path"] = second.model.chat_template_path or first.chat_template_path  # saved with the model
    return replace(second, model=second.model.model_copy(update=known))


def _prepare_run(recipe: Recipe, launch: Launch) -> Prepared:
    model = ModelFiles.of(recipe)
    findings = check_settings(recipe, model, launch)
    rewards: list[Reward] = []
    data: TrainingData[Any] | None = None
    try:
        unloadable = check_loading(recipe)
        findings += unloadable
        rewards = [] if unloadable else resolve_rewards(recipe)
    except (ValueError, TypeError, OSError) as error:
        findings.append(Finding("error", "rewards", str(error)))
    try:
        data = recipe.record.part("load")(recipe)
    except (ValueError, OSError) as error:
        is_said = isinstance(error.__cause__, ImportError) and any(each.check == "extras" for each in findings)
        findings += [] if is_said else [Finding("error", "data", str(error))]
    return Prepared(findings + check_loaded(recipe, model, launch, data, rewards), data, rewards, model)

"""A run is recipe -> rewards -> data -> trainer: what is loaded before the trainer, and what is wrong with it.

`align check` ends here, and `align train` goes on from the same objects. Nothing is written and no model is loaded.
"""

from typing import Any, NamedTuple

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.recipe import check_loaded, check_settings
from align.checks.rewards import check_loading
from align.data.training_data import TrainingData
from align.errors import RecipeError
from align.models.model_files import ModelFiles
from align.models.rewards import resolve_rewards
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward


class Prepared(NamedTuple):
    """A recipe's run before its trainer is built."""

    findings: list[Finding]
    data: TrainingData[Any] | None  # None if it could not be read
    rewards: list[Reward]
    model: ModelFiles  # that it starts from

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
        """The data, which a trainer cannot do without."""
        if self.data is None:
            raise RecipeError("The data could not be read.")
        return self.data


def prepare(recipe: Recipe, launch: Launch) -> Prepared:
    """Loads and checks what a run needs before its trainer can be built."""
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

"""All checks of a recipe, in the order in which a user would mend them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from align.checks.batch import check_batch
from align.checks.data import Loaded, check_data, load_data
from align.checks.finding import Finding
from align.checks.launch import Launch
from align.checks.lengths import check_lengths
from align.checks.memory import check_memory
from align.checks.model import check_model
from align.checks.rewards import check_rewards, resolve_rewards
from align.checks.versions import check_versions
from align.configs.recipe import Recipe


class Checked(NamedTuple):
    """The findings, and what training needs of what was read to find them."""

    findings: list[Finding]
    data: Loaded | None  # None if the data could not be read
    rewards: list[Callable[..., Any]]

    @property
    def errors(self) -> list[Finding]:
        """The findings that stop a run."""
        return [finding for finding in self.findings if finding.level == "error"]


def check_recipe(recipe: Recipe, launch: Launch) -> Checked:
    """Checks data, prompt lengths, batch, rewards, versions and memory; nothing is written and no model is loaded."""
    findings = check_versions(recipe) + check_model(recipe)
    rewards: list[Callable[..., Any]] = []
    data = None
    try:
        rewards = resolve_rewards(recipe)
    except (ValueError, TypeError, OSError) as error:
        findings.append(Finding("error", "rewards", str(error)))
    try:
        data = load_data(recipe)
    except (ValueError, OSError) as error:
        findings.append(Finding("error", "data", str(error)))
    if data is not None:
        findings += check_data(recipe, data)
        findings += check_batch(recipe, launch, len(data.rows))
        if rewards:
            findings += check_rewards(recipe, rewards, data.rows)
        findings += check_lengths(recipe, data.rows)
    findings += check_memory(recipe, launch)
    return Checked(findings, data, rewards)

"""All checks of a recipe, in the order in which a user would mend them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from align.checks.batch import check_batch
from align.checks.chain import check_chain
from align.checks.extras import check_extras
from align.checks.finding import Finding
from align.checks.images import check_images, check_letters
from align.checks.launch import Launch
from align.checks.lengths import check_lengths
from align.checks.memory import check_memory
from align.checks.model import check_model
from align.checks.model_kwargs import check_model_kwargs
from align.checks.needs import check_needs
from align.checks.rewards import Reward, check_loading, check_rewards, resolve_rewards
from align.checks.secrets import check_secrets
from align.checks.versions import check_versions
from align.methods.acre.data import Loaded, check_data, load_data
from align.methods.crome.data import check_reward_pairs, load_reward_data, sample_rows
from align.methods.deconfound.data import check_observations, load_observations
from align.methods.pairs.spans import marked_rows
from align.methods.rollouts.data import check_prompt_data, load_prompt_data
from align.methods.rrpo.data import check_pairs, load_pairs
from align.recipe.recipe import Recipe

Rewards = list[Reward]
_SECOND = "then: "  # before the name of a check of the second run


class DataChecks(NamedTuple):
    """How a method's data is read and looked at.

    Attributes:
        load: Reads it.
        check: Says what is wrong with what was read.
        sample_pairs: Makes rows of some pairs for the run folder, if the method learns from pairs.
    """

    load: Callable[[Recipe], Any]
    check: Callable[[Recipe, Any, Rewards], list[Finding]]
    sample_pairs: Callable[[Recipe, Any], list[dict[str, Any]]] | None = None


class Checked(NamedTuple):
    """The findings, and what training needs of what was read to find them."""

    findings: list[Finding]
    data: Any | None  # what the method's `load` returns; None if the data could not be read
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


def _check_questions(recipe: Recipe, data: Loaded, rewards: Rewards) -> list[Finding]:
    findings = check_data(recipe, data)
    if rewards:
        findings += check_rewards(recipe, rewards, data.rows)
    images = check_images(recipe, data.rows)
    findings += images.findings + check_letters(data.questions)
    return findings + check_lengths(recipe, data.rows, images.tokens)


DATA_CHECKS: dict[str, DataChecks] = {
    "grpo": DataChecks(load_prompt_data, check_prompt_data),
    "acre": DataChecks(load_data, _check_questions),
    "rrpo": DataChecks(
        load_pairs,
        lambda recipe, data, rewards: check_pairs(recipe, data),
        lambda recipe, data: marked_rows(recipe, data.pairs),
    ),
    "crome": DataChecks(
        load_reward_data,
        lambda recipe, data, rewards: check_reward_pairs(recipe, data),
        lambda recipe, data: sample_rows(data.pairs),
    ),
    "deconfound": DataChecks(load_observations, lambda recipe, data, rewards: check_observations(recipe, data)),
}


def check_recipe(recipe: Recipe, launch: Launch) -> Checked:
    """Checks data, lengths, batch, rewards, versions and memory; nothing is written and no model is loaded."""
    checked = _check_run(recipe, launch)
    if recipe.then is None:
        return checked
    then = _check_run(recipe.then, launch)
    findings = checked.findings + [finding._replace(check=f"{_SECOND}{finding.check}") for finding in then.findings]
    if checked.data is not None and then.data is not None:
        findings += check_chain(recipe, checked.data, then.data, launch)
    return checked._replace(findings=findings, then=then)


def _check_run(recipe: Recipe, launch: Launch) -> Checked:
    method = DATA_CHECKS[recipe.method]
    findings = check_versions(recipe) + check_extras(recipe, launch) + check_needs(recipe)
    findings += check_secrets(recipe) + check_model(recipe) + check_model_kwargs(recipe)
    rewards: Rewards = []
    data = None
    try:
        unloadable = check_loading(recipe)
        findings += unloadable
        rewards = [] if unloadable else resolve_rewards(recipe)
    except (ValueError, TypeError, OSError) as error:
        findings.append(Finding("error", "rewards", str(error)))
    try:
        data = method.load(recipe)
    except (ValueError, OSError) as error:
        findings.append(Finding("error", "data", str(error)))
    if data is not None:
        findings += method.check(recipe, data, rewards)
        findings += check_batch(recipe, launch, len(data.rows))
    findings += check_memory(recipe, launch)
    return Checked(findings, data, rewards)

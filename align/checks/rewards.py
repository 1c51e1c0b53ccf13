"""The recipe's rewards, tried on sample rows before training calls them a million times."""

import importlib.util
import sysconfig
from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

from align.checks.finding import Finding
from align.checks.reward_models import check_reward_model
from align.checks.reward_trials import Handling, is_first_process, load_rewards, trial_findings, try_rewards
from align.models.rewards import find_model, response_format, reward_spec
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from rewards.running.contract import Limits, Settings
from rewards.running.protocol import asks_a_model

SECONDS_PER_CALL = 5.0  # beside those for its completions, if the recipe limits them
SAY_NOTHING = ("constant", "reads_no_gold")
ROWS = 256  # whose prompts a reward model's files are compared with


def check_loading(recipe: Recipe) -> list[Finding]:
    """Loads the user's own rewards in a process that can be killed, before this one loads them.

    Returns:
        Those that never end, or end the process; what else is wrong with them is said when they are resolved.

    Raises:
        ValueError: If a reward is a path to nothing, or a model has settings.
    """
    specs = [spec for spec in recipe.reward_specs if find_model(recipe, spec) is None and not _is_installed(spec)]
    if not specs or not is_first_process():
        return []
    problems = load_rewards([reward_spec(recipe, spec) for spec in specs], handling_of(recipe))
    return [Finding("error", "rewards", str(problem), {"kind": problem.kind}) for problem in problems]


def _is_installed(spec: str) -> bool:
    """Tells whether a spec names a built-in reward, or one of an installed package."""
    if ":" in spec or spec.endswith(".py"):
        return False
    found = importlib.util.find_spec(spec.partition(".")[0]) if "." in spec else None
    return "." not in spec or bool(found and (found.origin or "").startswith(sysconfig.get_path("purelib")))


def check_rewards(recipe: Recipe, rewards: Sequence[Reward], rows: Sequence[dict[str, Any]]) -> list[Finding]:
    """Tries every reward on responses of many kinds to rows of the data; of reward models only the files are read."""
    asking = {spec for spec, reward in zip(recipe.reward_specs, rewards, strict=True) if asks_a_model(reward)}
    settings, handling = trial_settings(recipe, rows), handling_of(recipe)
    return check_together(recipe, rewards) + check_specs(
        recipe, settings, handling, asking if recipe.is_dry else set()
    )


def check_together(recipe: Recipe, rewards: Sequence[Reward]) -> list[Finding]:
    """Says what the method has against its rewards."""
    check = recipe.record.part("check_rewards")
    return check(recipe, rewards) if check else []


def check_specs(
    recipe: Recipe, settings: Settings, handling: Handling, untried: Collection[str] = ()
) -> list[Finding]:
    """Tries the recipe's rewards without loading them into this process.

    Args:
        recipe: Names them.
        settings: What a trial should know.
        handling: What the run does about failures.
        untried: Rewards that are not called.

    Raises:
        ValueError: If a reward is a path to nothing, or a model has settings.
    """
    models = {spec: find_model(recipe, spec) for spec in recipe.reward_specs}
    functions = [reward_spec(recipe, spec) for spec, model in models.items() if model is None and spec not in untried]
    findings: list[Finding] = []
    found = {}
    if functions and is_first_process():
        tried = try_rewards(functions, settings, handling)
        found = {each.spec: result for each, result in zip(functions, tried, strict=True)}
    for spec, model in models.items():
        if model is not None and model == recipe.trained:
            findings.append(Finding("ok", "rewards", "`trained` is the reward model of the run before this one."))
        elif model is not None:
            findings += check_reward_model(spec, model, [row["prompt"] for row in settings.rows[:ROWS]])
        elif spec in found:
            own = trial_findings(spec, found[spec], settings.completions_per_step, handling.bearable)
            is_audit = spec in recipe.rewards.audit_funcs  # one that finds nothing in samples teaches nothing wrong
            own = [each for each in own if not (is_audit and each.numbers.get("kind") in SAY_NOTHING)]
            findings += [_of_audit(spec, each) for each in own] if is_audit else own
        elif spec in untried:
            findings.append(Finding("ok", "rewards", f"{spec} asks a model and is not tried: nothing is sent."))
        else:
            findings.append(Finding("ok", "rewards", f"{spec} is tried by the first process."))
    return findings


def _of_audit(spec: str, finding: Finding) -> Finding:
    """Lets an audit be about other rows than those it is tried on, such as rows for evaluation."""
    if finding.numbers.get("kind") != "always_none":
        return finding
    return Finding("ok", "rewards", f"{spec} says nothing about the rows that it was tried on.", finding.numbers)


def handling_of(recipe: Recipe) -> Handling:
    """Says which failures of a reward the recipe's guard survives: they cost rows, which are counted."""
    guard = recipe.rewards
    bearable = [] if guard.on_invalid == "raise" else ["fails_on_odd"]
    if bearable and guard.reward_workers:
        bearable += ["dies_sometimes", *(["hangs_sometimes"] if guard.reward_timeout else [])]
    limits = Limits() if guard.reward_timeout is None else Limits(SECONDS_PER_CALL, guard.reward_timeout)
    return Handling(limits, guard.reward_memory_gb, tuple(bearable))


def trial_settings(recipe: Recipe, rows: Sequence[dict[str, Any]]) -> Settings:
    """Says what a trial should know of a recipe and its rows."""
    tags, columns = response_format(recipe), recipe.record.part("reward_columns")
    settings = recipe.settings
    per_device, accumulation = int(settings.per_device_train_batch_size), int(settings.gradient_accumulation_steps)
    return Settings(
        rows=rows,
        form="text" if isinstance(rows[0]["prompt"], str) else "messages",
        response_format=tags,
        completions_per_step=per_device * accumulation,
        add_columns=partial(columns, tags=tags) if columns else None,
    )

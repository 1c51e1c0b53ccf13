"""`align rewards check`: what is wrong with rewards, before anything is trained with them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.assets import find_recipe, shipped_recipes
from align.checks.finding import Finding
from align.checks.reward_models import check_reward_model
from align.checks.reward_trials import Handling, trial_findings, try_rewards
from align.checks.rewards import check_specs, check_together, handling_of, trial_settings
from align.cli.rewards_rows import name_the_option, questions_of, read_columns, read_reward_rows
from align.console import make_console
from align.errors import RecipeError, UserError
from align.models.rewards import find_reward_model, resolve_rewards
from align.recipe.recipe import Recipe, load_recipe
from align.recipe.yaml_loader import read_yaml_option
from align.secrets import mask
from align.services.findings import print_findings
from rewards.running.contract import Limits, RewardSpec, Settings

# Of rows with a prompt and options, which methods of prompts read as they stand and others as questions.
AS_QUESTIONS = (
    "Where these rows are asked as multiple-choice questions (`columns: {{question: prompt}}`), a reward gets the "
    "index of the right option as `answer`, {answer} in row 1, and then:"
)


def run(
    subject: str,
    words: Sequence[str],
    *,
    data: str | None,
    columns: str,
    reward_kwargs: str,
    completions_per_step: int,
    time_limit: float | None,
    max_seconds: float,
    as_json: bool,
) -> int:
    """Prints the findings; returns 1 if one of them is an error."""
    limits = None if time_limit is None else Limits(time_limit)
    try:
        if is_recipe(subject):
            if columns:
                raise UserError("`--columns` goes with a single reward. For a recipe, write `--dataset.columns`.")
            findings = check_recipe_rewards(_recipe(subject, words, data), limits, max_seconds)
        else:
            if words:
                raise UserError(f"Unknown option {words[0]!r}. Settings of a reward go into `--reward_kwargs`.")
            settings = Settings(completions_per_step=completions_per_step, max_seconds=max_seconds)
            kwargs = read_yaml_option("--reward_kwargs", reward_kwargs, "{max_length: 200}")
            named = read_columns(columns)
            if named and data is None:
                raise UserError("`--columns` names columns of `--data`, and none is given. Name the rows, too.")
            rows = [] if data is None else read_reward_rows(data, named)
            handling = Handling(limits or Limits())
            findings = check_one(subject, kwargs, rows, settings, handling)
            if asked := questions_of(rows) if all(each.level != "error" for each in findings) else []:
                findings += [
                    each._replace(level="warning", text=f"{AS_QUESTIONS.format(**asked[0])} {each.text}")
                    for each in check_one(subject, kwargs, asked, settings, handling)
                    if each.level == "error"
                ]
    except UserError as error:
        if not as_json:
            raise
        findings = [Finding("error", "rewards", str(error))]
    num_errors, num_warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    if as_json:
        print(json.dumps(mask([finding._asdict() for finding in findings]), indent=2, default=str))
    else:
        print_findings(findings)
        counts = f"{num_errors} error(s), {num_warnings} warning(s)."
        make_console().print(f"{counts} Training would stop, or learn the wrong thing." if num_errors else counts)
    return int(num_errors > 0)


def is_recipe(subject: str) -> bool:
    """Tells a recipe from the name of a reward."""
    return Path(subject).suffix in (".yaml", ".yml") or subject.removeprefix("recipes/") in shipped_recipes()


def check_recipe_rewards(recipe: Recipe, limits: Limits | None, max_seconds: float) -> list[Finding]:
    """Tries the rewards of a recipe on its data; a reward that hangs does so in another process.

    Args:
        recipe: The recipe.
        limits: In place of those that its guard sets.
        max_seconds: For all calls of a reward, about.

    Raises:
        UserError: If the data cannot be read.
    """
    rows = recipe.record.part("load")(recipe).rows
    handling = handling_of(recipe)
    handling = handling if limits is None else handling._replace(limits=limits)
    try:
        findings = check_specs(recipe, trial_settings(recipe, rows)._replace(max_seconds=max_seconds), handling)
        if not any(finding.numbers.get("kind") in ("not_found", "hangs", "dies") for finding in findings):
            findings = check_together(recipe, resolve_rewards(recipe)) + findings
    except (ValueError, TypeError, OSError) as error:
        return [Finding("error", "rewards", str(error))]
    return findings


def check_one(
    spec: str, kwargs: dict[str, Any], rows: list[dict[str, Any]], settings: Settings, handling: Handling
) -> list[Finding]:
    """Tries one reward, on made-up rows if there is no data.

    Raises:
        UserError: If the spec is a path to nothing.
    """
    try:
        model = find_reward_model(spec, Path.cwd())
    except ValueError as error:
        raise UserError(str(error)) from error
    if model is not None:
        return check_reward_model(spec, model, [row["prompt"] for row in rows])
    if rows:
        settings = settings._replace(rows=rows, form="text" if isinstance(rows[0]["prompt"], str) else "messages")
    (tried,) = try_rewards([RewardSpec(spec, kwargs)], settings, handling)
    return [name_the_option(each, rows) for each in trial_findings(spec, tried, settings.completions_per_step)]


def _place(data: str) -> str:
    """Keeps a file apart from the recipe's folder; a hub id or a task stays as it is."""
    return str(Path(data).resolve()) if Path(data).exists() else data


def _recipe(subject: str, words: Sequence[str], data: str | None) -> Recipe:
    overrides = [*words, *(["--dataset.path", _place(data), "--dataset.mix", "null"] if data else [])]
    recipe = load_recipe(find_recipe(subject), overrides)
    recipe = recipe.then if recipe.then is not None and not recipe.reward_specs else recipe
    if not recipe.reward_specs:
        raise RecipeError(f"{subject} names no rewards: `method: {recipe.method}` learns from its data alone.")
    return recipe

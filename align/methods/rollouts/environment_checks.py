"""What can be wrong with a recipe of GRPO: prompts, rewards, tools, and environments of others, which are tried."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.rewards import is_first_process
from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.methods.rollouts import prompt_data
from align.methods.rollouts.tool_checks import (
    check_number,
    check_template,
    check_tools,
    example_arguments,
    instances_of,
    make_schema,
    sample_environment,
    try_call,
    uses_environment,
)
from align.models.transcripts.toolbox import INSTANCES
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward, short_name
from align.tools.described import ENTRY
from align.tools.environments import Described, Hosted, Limits, ToolProcess, asked, describe, tool_of
from align.tools.guarded import ToolError
from align.tools.hosted import IS_OVER, SCORE
from align.tools.named import find_tool, named_by

ANSWER = [{"role": "assistant", "content": "example"}]

Rows = Sequence[Mapping[str, Any]]


def check(recipe: Recipe, data: TrainingData[PromptRow], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts, rewards and lengths as for every method that samples, and tries tools and environments."""
    tools = check_tools(recipe, data.rows) + check_environment(recipe, data.rows)
    more: dict[str, Any] = {}
    functions = (each for each in rewards if not isinstance(each, str))
    reads = uses_environment(recipe) and any(INSTANCES in inspect.signature(each).parameters for each in functions)
    if reads and not any(finding.level == "error" for finding in tools):
        more = {INSTANCES: sample_environment(recipe, data.rows)}
    is_rewarded = uses_environment(recipe) or recipe.settings.environment is not None
    return prompt_data.check(recipe, data, rewards, is_rewarded=is_rewarded, trial_columns=more) + tools


def check_environment(recipe: Recipe, rows: Rows) -> list[Finding]:
    """Begins the first row in an environment of others, calls each of its tools once, and scores an answer."""
    spec, settings = recipe.settings.environment, recipe.settings
    if spec is None or not is_first_process():
        return []
    limits = Limits(settings.tool_timeout, settings.tool_memory_gb)
    process = ToolProcess(Hosted(spec), limits)
    try:
        described = describe(spec, limits, process)
        notes = [Finding("warning", "environment", f"`{spec}`: {note}") for note in described.notes]
        return [*_check_described(recipe, described), *notes, *_try_row(recipe, described, rows, process)]
    except ValueError as error:
        return [Finding("error", "environment", str(error))]
    finally:
        process.close()


def _check_described(recipe: Recipe, described: Described) -> list[Finding]:
    own = [*map(short_name, recipe.reward_specs), *(find_tool(spec).__name__ for spec in named_by(recipe)[0])]
    tools, weights = [str(tool["name"]) for tool in described.tools], dict(described.rewards)
    rewards = ", ".join(f"{name} ({weight:g})" for name, weight in weights.items())
    text = (
        f"`{recipe.settings.environment}` of {described.library} rewards with {rewards or 'nothing'}, and has "
        f"{', '.join(tools) or 'no'} tools."
    )
    findings = [Finding("ok", "environment", text, {"rewards": weights})]
    if twice := [name for name in (*weights, *tools) if name in own]:
        text = f"The environment has a `{twice[0]}`, too, and both would have one name. Remove the recipe's."
        findings.append(Finding("error", "environment", text))
    if not any(weights.values()) and not recipe.reward_funcs:
        text = "The environment has no reward with a weight, and `reward_funcs` names none. Name one."
        findings.append(Finding("error", "environment", text))
    return findings


def _try_row(recipe: Recipe, described: Described, rows: Rows, process: ToolProcess) -> list[Finding]:
    spec, row = recipe.settings.environment, rows[0]
    if ENTRY not in row:
        text = (
            f"The rows of {recipe.dataset.path} have no column `{ENTRY}`, from which the environment knows what is "
            f"asked. Remove `dataset.path`, or name `{spec}` there."
        )
        return [Finding("error", "environment", text)]
    tools = [tool_of(schema) for schema in described.tools]
    schemas = {tool.__name__: make_schema(spec, tool) for tool in tools}
    findings = [schema for schema in schemas.values() if isinstance(schema, Finding)]
    if findings:
        return findings
    try:
        process.ask("reset", {ENTRY: row[ENTRY]})
    except ToolError as error:
        return [Finding("error", "environment", f"`{spec}` cannot begin its first row: {error}. Look at its `setup`.")]
    for name, schema in schemas.items():
        assert not isinstance(schema, Finding)
        findings.append(try_call(f"{spec}.{name}", name, example_arguments(schema), process))
        if findings[-1].level == "error":
            return findings
    if described.stops:
        asked(spec, process, IS_OVER, {"messages": ANSWER})
    scores = asked(spec, process, SCORE, {"messages": ANSWER})
    wrong = next((name for name, value in scores.rewards.items() if not math.isfinite(value)), None)
    if wrong is not None:
        text = (
            f"`{spec}`: reward `{wrong}` gives {scores.rewards[wrong]} to a trial answer. Rewards are finite numbers."
        )
        return [*findings, Finding("error", "environment", text)]
    given = ", ".join(f"{name}: {value:g}" for name, value in scores.rewards.items())
    findings.append(Finding("ok", "environment", f"`{spec}` scores the trial answer 'example' with {given}."))
    if tools:
        findings.append(check_number(spec, described.megabytes, instances_of(recipe)))
        findings += check_template(recipe, tools, rows)
    return findings

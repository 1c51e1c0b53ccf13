"""What can be wrong with a recipe of GRPO; tools and environments are tried in a process that can be killed."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.rewards import is_first_process
from align.data.prompt_rows import PromptRow
from align.data.training_data import TrainingData
from align.methods.grpo.tools.guarded import (
    Limits,
    ToolError,
    ToolProcess,
    environment_class,
    guard_environment,
)
from align.methods.grpo.tools.named import Spec, find_tool, named_by, tool_methods
from align.methods.grpo.tools.served import Loaded, ServedTools
from align.methods.grpo.tools.template import check_template
from align.methods.grpo.tools.trial import example_arguments, make_schema, try_call, try_environment
from align.methods.rollouts import prompt_data
from align.recipe.problems import shown
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward

Rows = Sequence[dict[str, Any]]
COLUMN = "environment"  # of the data, where there are several environments


def uses_tools(recipe: Recipe) -> bool:
    """Says whether a recipe names tools or environments."""
    return any(named_by(recipe))


def check_tools(recipe: Recipe, rows: Rows) -> list[Finding]:
    """Finds the tools of a recipe, makes their schemas and calls each once; environments are reset with a row."""
    if not uses_tools(recipe) or not is_first_process():
        return []
    tools, environments = named_by(recipe)
    limits = Limits(recipe.settings.tool_timeout, recipe.settings.tool_memory_gb)
    findings = _check_prompts(recipe, rows)
    schemas: dict[str, Callable[..., Any]] = {}
    is_rewarded = bool(recipe.reward_funcs)
    try:
        _load_elsewhere([*tools, *environments.values()], limits)
        found, before = [find_tool(spec) for spec in tools], len(findings)
        names = [tool.__name__ for tool in found]
        findings += _check_names(names, tools)
        process = ToolProcess(ServedTools(tools), limits)
        for spec, tool in zip(tools, found, strict=True):
            findings += _try_tool(spec.spec, tool, process)
        process.close()
        schemas = {tool.__name__: tool for tool in found}
        for name, spec in environments.items():
            kind = environment_class(spec, limits)
            schemas |= tool_methods(kind)
            is_rewarded |= hasattr(kind, "get_reward")
            findings += try_environment(spec, kind, _row_of(rows, name), limits, names, _instances(recipe))
        findings += _check_column(environments, rows)
        is_described = not any(finding.level == "error" for finding in findings[before:])
        if is_described and not is_rewarded:
            text = "`reward_funcs` names no reward, and the environment has no `get_reward`. Name one, or write it."
            findings.append(Finding("error", "rewards", text))
    except ValueError as error:
        return [*findings, Finding("error", "tools", str(error))]
    return findings + (check_template(recipe, list(schemas.values()), rows) if is_described else [])


def uses_environment(recipe: Recipe) -> bool:
    """Says whether a recipe names an environment, which may reward its rollouts by itself."""
    return bool(named_by(recipe)[1])


def sample_environment(recipe: Recipe, rows: Rows) -> Any:
    """Makes an instance of the recipe's environment, the first of several, and resets it with a row of its own."""
    name, spec = next(iter(named_by(recipe)[1].items()))
    instance = guard_environment(spec, Limits(recipe.settings.tool_timeout, recipe.settings.tool_memory_gb))()
    instance.reset(**_row_of(rows, name))
    return instance


def _check_prompts(recipe: Recipe, rows: Rows) -> list[Finding]:
    if all(isinstance(row["prompt"], list) for row in rows):
        return []
    if getattr(recipe.dataset, "prompt_template", None):
        remedy = "Set `dataset.conversational: true`, with which `prompt_template` makes messages."
    else:
        remedy = (
            'Write `"prompt": [{"role": "user", "content": "..."}]`, or have messages made of the texts: `dataset: '
            "{columns: {text: prompt}, prompt_template: '{text}', conversational: true}`."
        )
    text = (
        "Tools need prompts of messages: TRL tells the model of its tools by the chat template, which texts do not go "
        f"through. {remedy}"
    )
    return [Finding("error", "tools", text)]


def _load_elsewhere(specs: Sequence[Spec], limits: Limits) -> None:
    """Loads the files in a process that can be killed, before this one loads them."""
    process = ToolProcess(Loaded(specs), limits)
    for number, spec in enumerate(specs):
        try:
            problem = process.ask(str(number))
        except ToolError as error:
            raise ValueError(f"{spec.spec!r} cannot be loaded: {error}. Look at what its file does.") from error
        if problem:
            raise ValueError(problem)
    process.close()


def _check_names(names: Sequence[str], specs: Sequence[Spec]) -> list[Finding]:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is None:
        return []
    both = ", ".join(spec.spec for spec, name in zip(specs, names, strict=True) if name == twice)
    return [Finding("error", "tools", f"Two tools are called `{twice}` ({both}), and the model calls them by name.")]


def _try_tool(spec: str, tool: Callable[..., Any], process: ToolProcess) -> list[Finding]:
    schema = make_schema(spec, tool)
    if isinstance(schema, Finding):
        return [schema]
    return [try_call(spec, tool.__name__, example_arguments(schema), process)]


def _instances(recipe: Recipe) -> int:
    """Counts the completions of one generation in one process."""
    if whole := recipe.settings.generation_batch_size:
        return int(whole) // int(os.environ.get("WORLD_SIZE", "1"))
    steps = recipe.settings.steps_per_generation or recipe.settings.gradient_accumulation_steps
    return int(recipe.settings.per_device_train_batch_size) * int(steps)


def _check_column(environments: Mapping[str | None, Spec], rows: Rows) -> list[Finding]:
    if not environments or None in environments:
        return []
    wrong = next((row for row in rows if row.get(COLUMN) not in environments), None)
    if wrong is None:
        return []
    text = (
        f"Row {wrong['id']!r} has `{COLUMN}: {shown(wrong.get(COLUMN))}`, and with several environments each row "
        f"names one: {', '.join(map(str, environments))}."
    )
    return [Finding("error", "tools", text)]


def _row_of(rows: Rows, name: str | None) -> dict[str, Any]:
    """Returns the first row that an environment gets, as TRL hands it over."""
    if name is None:
        return dict(rows[0])
    row = next((row for row in rows if row.get(COLUMN) == name), rows[0])
    return {key: value for key, value in row.items() if key != COLUMN}


GIVEN = "environments"  # what TRL calls the instances that it hands to rewards


def check(recipe: Recipe, data: TrainingData[PromptRow], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts, rewards and lengths as for every method that samples, and tries tools and environments."""
    tools = check_tools(recipe, data.rows)
    more: dict[str, Any] = {}
    if any(map(_reads_environments, rewards)) and not any(finding.level == "error" for finding in tools):
        more = {GIVEN: sample_environment(recipe, data.rows)}
    return prompt_data.check(recipe, data, rewards, is_rewarded=uses_environment(recipe), trial_columns=more) + tools


def _reads_environments(reward: Reward) -> bool:
    return not isinstance(reward, str) and GIVEN in inspect.signature(reward).parameters

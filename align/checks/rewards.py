"""The recipe's rewards: found by name, and called once on sample rows before training calls them a million times."""

from collections.abc import Callable, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.reward_models import check_reward_model, find_reward_model
from align.configs.fields import config_fields
from align.configs.recipe import Recipe
from rewards.catalog import resolve_reward
from rewards.contract import check_reward
from rewards.options import LETTERS
from rewards.responses import ResponseFormat

SAMPLES = 4

Reward = Callable[..., Any] | str


def resolve_rewards(recipe: Recipe) -> list[Reward]:
    """Finds the recipe's rewards: functions with their settings and the recipe's tags, and paths of reward models.

    Raises:
        ValueError: If a reward does not exist or refuses its settings.
    """
    return [_resolve(recipe, spec) for spec in recipe.reward_funcs]


def _resolve(recipe: Recipe, spec: str) -> Reward:
    kwargs = recipe.reward_kwargs.get(spec.rpartition(":")[2].rpartition(".")[2], {})
    model = find_reward_model(spec, recipe.path.parent)
    if model is not None and kwargs:
        raise ValueError(f"Reward {spec!r} is a model and takes no settings. Remove its `reward_kwargs`.")
    if model is not None:
        return model
    tags = response_format(recipe)
    return resolve_reward(spec, kwargs, base_dir=recipe.path.parent, response_format=tags)


def response_format(recipe: Recipe) -> ResponseFormat:
    """Returns the tags of the recipe's responses; a method without tags of its own has the usual ones."""
    if "think_tag" not in config_fields(recipe.method):
        return ResponseFormat()
    return ResponseFormat(recipe.setting("think_tag"), recipe.setting("answer_tag"))


def check_rewards(recipe: Recipe, rewards: Sequence[Reward], rows: Sequence[dict[str, Any]]) -> list[Finding]:
    """Calls every reward as TRL does, on right, wrong, unparsable and empty responses to the first rows."""
    samples = [row for row in rows[:SAMPLES] for _ in range(4)]
    completions = [text for row in rows[:SAMPLES] for text in _responses(row, response_format(recipe))]
    answers = {"first_choice": [], "second_choices": []}  # type: dict[str, list[Any]]
    for row in rows[:SAMPLES]:
        wrong = (row["answer"] + 1) % len(row["options"])
        answers["first_choice"] += [row["answer"], wrong, None, None]
        answers["second_choices"] += [[row["answer"]], [wrong], None, None]
    columns = [
        row | {name: values[i] for name, values in answers.items()} if recipe.method == "acre" else row
        for i, row in enumerate(samples)
    ]
    return _check_second_pass(recipe, rewards) + check_calls(recipe, rewards, columns, completions)


def check_calls(
    recipe: Recipe, rewards: Sequence[Reward], rows: Sequence[dict[str, Any]], responses: Sequence[str]
) -> list[Finding]:
    """Calls every reward function as TRL does on one response per row; of reward models only the files are read."""
    conversational = not isinstance(rows[0]["prompt"], str)
    completions: list[Any] = list(responses)
    if conversational:
        completions = [[{"role": "assistant", "content": text}] for text in responses]
    findings: list[Finding] = []
    for spec, reward in zip(recipe.reward_funcs, rewards, strict=True):
        if isinstance(reward, str):
            findings += check_reward_model(spec, reward, conversational=conversational)
            continue
        problems = check_reward(reward, rows, completions)
        findings += [Finding("error", "rewards", f"{spec}: {problem}") for problem in problems]
        if not problems:
            findings.append(Finding("ok", "rewards", f"{spec} answers {len(rows)} sample calls."))
    return findings


def _check_second_pass(recipe: Recipe, rewards: Sequence[Reward]) -> list[Finding]:
    """A reward that waits for second answers while none are asked would pay every right answer as `first_only`."""
    waiting = [reward for reward in rewards if getattr(reward, "needs_second_answer", lambda correct: False)(True)]
    if recipe.method != "acre" or recipe.setting("second_pass") != "off" or not waiting:
        return []
    text = (
        "`second_pass: off`, but `answer_consistency` rewards second answers. Turn the second pass on, or use "
        "`accuracy` (or the neutral setting both: 1, first_only: 1, second_only: 0)."
    )
    return [Finding("error", "rewards", text)]


def _responses(row: dict[str, Any], tags: ResponseFormat) -> list[str]:
    right, wrong = row["answer"], (row["answer"] + 1) % len(row["options"])
    return [
        f"<{tags.think_tag}>{row['options'][choice]}</{tags.think_tag}><{tags.answer_tag}>{LETTERS[choice]}</{tags.answer_tag}>"
        for choice in (right, wrong)
    ] + ["no tags at all", ""]

"""What a run with further prompts is checked for, and puts on its page."""

from collections.abc import Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.data.training_data import Rows, TrainingData
from align.experimental.resampling.config import KEY, NO_IMAGES, NO_VERSIONS, batch_problem
from align.methods.acre import data as acre
from align.methods.rollouts import environment_checks as grpo
from align.methods.rollouts import prompt_data
from align.methods.rollouts.report import REPORT as ROLLOUT_REPORT
from align.methods.rollouts.tool_report import REPORT as GRPO_REPORT
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import Reward
from align.report.charts.panel import Panel

FACTS = {KEY: "Most further prompts of a generation"}
PANEL = Panel(
    "Prompts of a generation that were asked beside its own",
    "Those that were filled stand in the place of a prompt without spread; for those left the budget was spent.",
    {
        "rollouts/resampled_prompts": "asked",
        "rollouts/resampled_filled": "filled",
        "rollouts/resampled_left": "left without spread",
    },
)
OF_GRPO, OF_ACRE = (report.beside(FACTS, [PANEL], []) for report in (GRPO_REPORT, ROLLOUT_REPORT))


def check_grpo(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks prompts as for GRPO, and whether some of them can be asked beside a batch."""
    return grpo.check(recipe, data, rewards) + check_rows(recipe, data.rows)


def check_acre(recipe: Recipe, data: TrainingData[Any], rewards: Sequence[Reward]) -> list[Finding]:
    """Checks questions or prompts as for ACRE, and whether some of them can be asked beside a batch."""
    return acre.check(recipe, data, rewards) + check_rows(recipe, data.rows)


def check_rows(recipe: Recipe, rows: Rows) -> list[Finding]:
    """Names what keeps single rows from being asked beside a batch."""
    problems = {
        NO_VERSIONS: getattr(recipe.dataset, "rows_together", 1) > 1,
        NO_IMAGES: any(row.get("images") for row in rows),
    }
    return [Finding("error", "data", text) for text, is_there in problems.items() if is_there]


def check_batch(recipe: Recipe, launch: Launch, num_rows: int) -> list[Finding]:
    """Checks the batch as for both methods, and whether groups of completions can be replaced."""
    findings = prompt_data.check_batch(recipe, launch, num_rows)
    if any(each.level == "error" for each in findings):
        return findings
    generations = int(recipe.settings.num_generations)
    prompts = next(each.numbers["prompts_per_generation"] for each in findings if each.level == "ok")
    own = prompts * generations // launch.num_processes
    problem = batch_problem(getattr(recipe.settings, KEY), own, generations, launch.num_processes)
    return findings + ([Finding("error", "batch", problem)] if problem else [])

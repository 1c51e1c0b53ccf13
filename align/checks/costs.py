"""What rewards that ask a model will ask in a run: requests, tokens, minutes at their rates, and money."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from align.checks.finding import Finding
from align.checks.launch import Launch
from align.data.training_data import TrainingData
from align.models.judges.asked_model import Estimate
from align.models.judges.model_judge import ModelJudge
from align.recipe.recipe import Recipe
from align.recipe.reward_settings import FEWEST_REPEATS, Reward
from rewards.running.protocol import reads_whole_batch, reward_name

ROWS = 64  # whose prompts are counted


class Scored(NamedTuple):
    """Completions that rewards will score in a run."""

    trained: float
    repeated: float
    evaluated: float

    @property
    def total(self) -> float:
        """All of them."""
        return self.trained + self.repeated + self.evaluated


def check_costs(
    recipe: Recipe, launch: Launch, data: TrainingData[Any], rewards: Sequence[Reward], batch: Sequence[Finding]
) -> list[Finding]:
    """Says what each judge will ask; nothing is sent."""
    asking: list[ModelJudge] = [reward for reward in rewards if isinstance(reward, ModelJudge)]
    steps = next((finding.numbers for finding in batch if "steps_per_pass" in finding.numbers), None)
    if not asking or steps is None:
        return []
    rows = [data.rows[index * len(data.rows) // ROWS] for index in range(ROWS)] if len(data.rows) > ROWS else data.rows
    generations, longest = int(recipe.settings.num_generations), int(recipe.settings.max_completion_length or 0)
    findings = []
    for reward in asking:
        scored = count_scored(recipe, len(data.eval_rows), steps, repeats=not reads_whole_batch(reward))
        try:
            each = reward.estimate(rows, generations, longest)
        except ValueError as error:
            findings.append(Finding("error", "costs", f"{reward_name(reward)}: {error}"))
            continue
        findings.append(_word(reward, each, scored, launch.num_processes))
    return findings


def count_scored(recipe: Recipe, num_eval_rows: int, steps: dict[str, Any], *, repeats: bool) -> Scored:
    """Counts the completions that are scored in training, again by `reward_repeats`, and in evaluations."""
    num_steps = int(recipe.settings.max_steps)
    if num_steps <= 0:
        num_steps = math.ceil(float(recipe.settings.num_train_epochs) * steps["steps_per_pass"])
    trained = num_steps * steps["completions_per_step"] / int(recipe.settings.num_iterations)
    share = recipe.rewards.reward_repeats if repeats else 0.0
    together = steps["prompts_per_generation"] * int(recipe.settings.num_generations)
    again = trained / together * max(share * together, min(FEWEST_REPEATS, together)) if share else 0.0
    return Scored(trained, again, _count_evaluated(recipe, num_eval_rows, num_steps, steps["steps_per_pass"]))


def _count_evaluated(recipe: Recipe, num_eval_rows: int, num_steps: int, steps_per_pass: int) -> float:
    strategy = recipe.settings.eval_strategy
    strategy = str(getattr(strategy, "value", strategy))
    if strategy == "no" or not num_eval_rows:
        return 0.0
    every = recipe.settings.eval_steps or recipe.settings.logging_steps
    every = steps_per_pass if strategy == "epoch" else every if every >= 1 else every * num_steps
    times = num_steps // max(int(every), 1) + bool(recipe.settings.eval_on_start)
    generations = int(recipe.settings.num_generations_eval or recipe.settings.num_generations)
    return float(times * num_eval_rows * generations)


def _word(reward: ModelJudge, each: Estimate, scored: Scored, processes: int) -> Finding:
    requests, sent, back = (scored.total * number for number in each)
    rates = [(requests, reward.requests_per_minute), (sent + back, reward.tokens_per_minute)]
    minutes = max((count / rate / processes for count, rate in rates if rate), default=None)
    cost = reward.prices.of(sent, back)
    parts = [f"{scored.trained:,.0f} completions of training"]
    parts += [f"{scored.repeated:,.0f} scored again"] if scored.repeated else []
    parts += [f"{scored.evaluated:,.0f} of evaluations"] if scored.evaluated else []
    text = (
        f"{reward_name(reward)} is asked at most {requests:,.0f} times ({', '.join(parts)}): {sent:,.0f} tokens in, "
        f"counted on the data at 4 characters each and with completions of full length, and up to {back:,.0f} out."
    )
    if minutes is not None:
        text += f" At its rates that takes {minutes:,.1f} minutes or more."
    if cost is not None:
        text += f" At its prices that costs up to {cost:,.4g}."
    elif reward.endpoint is not None:
        text += (
            " `prompt_price` and `completion_price` (of a million tokens) under `reward_kwargs` turn that into money."
        )
    numbers = {
        "requests": requests,
        "prompt_tokens": sent,
        "completion_tokens": back,
        "minutes": minutes,
        "cost": cost,
    }
    return Finding("ok", "costs", text, {"reward": reward_name(reward), **numbers})

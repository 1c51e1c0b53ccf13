"""What exchanges say of the rewards of a recipe: which is about right answers, and what their pay is for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from align.checks.rewards import trial_settings
from align.data.conversations import last_text
from align.data.prompt_rows import PromptRow
from align.errors import UserError
from align.evaluation.engine import show_stages
from align.evaluation.statistics.metrics import Estimate, Values, share, wilson
from align.evaluation.suites.prompts import measured_rewards as measured
from align.models.rewards import named_rewards
from align.rehearsal.plan import Plan
from align.rehearsal.record import Check, Rehearsed, by_number
from align.training.shown_rows import right_answers
from rewards.attacks import Told, told_apart
from rewards.roles import exchange, others_of
from rewards.running.contract import Limits, RewardSpec
from rewards.running.guard import GuardedReward
from rewards.running.protocol import asks_a_model

NOT_READ = ("id", "prompt", "images")
SAME = 0.99  # of a right answer's pay
LEAST_SHIFT = 0.1  # more of the stated answers that are right for another row than for their own
CHECKS = by_number(
    Check("prompt", "unshown", "prompts whose text is not in what the model reads",
          "{share:.0%} of the prompts do not stand in what the model reads: its chat template leaves the user's text "
          "out.", "Mend the chat template, or name another one.", above=0.1, error=0.5),
    Check("reward", "pays_all/{reward}", "",
          "`{reward}` reads {columns}, and pays another row's right answer ({form}) as much as the row's own: {pay}.",
          "See that it compares with the column ({line}).", above=0.0, error=0.0),
    Check("reward", "pays_none/{reward}", "",
          "`{reward}` reads {columns}, and pays no right answer anything, in whatever place and form.",
          "See which column and which form it reads ({line}).", above=0.0),
    Check("reward", "overpaid/{reward}", "",
          "`{reward}` pays some other row's answer as much as the right one on {share:.0%} of the rows.",
          "Compare whole answers ({line}).", above=0.5),
    Check("reward", "never/{reward}", "",
          "`{reward}` pays {pay} for an answer {form}, and none of the completions earns anything from it.",
          "Ask for that form in the prompt, or read the one that the model writes ({line})."),
    Check("answer key", "shifted", "",
          "Stated answers are right for the row {way} theirs in {share:.0%} of the completions, and for their own in "
          "{own:.0%}: right answers stand a row off.", "Move the column back by one row.", above=0.0, error=0.0),
)  # fmt: skip


def told_of(plan: Plan, named: Sequence[measured.NamedReward], rows: Sequence[PromptRow]) -> dict[str, Told]:
    """Tells by exchanges what rewards that are functions pay right answers and others'."""
    known = {spec: each for spec, each in named_rewards(plan.recipe).items() if isinstance(each, RewardSpec)}
    asked = [each for each in named if each.spec in known]
    shown = [{"prompt": row.prompt, **row.columns} for row in rows]
    if not asked or not shown:
        return {}
    settings = trial_settings(plan.recipe, shown)
    found = told_apart([known[each.spec] for each in asked], settings, Limits())
    return {each.name: told for each, told in zip(asked, found, strict=True) if told is not None}


def task_of(plan: Plan, names: Sequence[str], weights: Values, told: Mapping[str, Told]) -> int:
    """Finds the reward that says what is right: the one that is named, or pays right answers, or weighs most."""
    wanted = plan.options.task_reward
    if wanted is not None and wanted not in names:
        raise UserError(f"`task_reward` must be one of {', '.join(names)}, got {wanted!r}.")
    if wanted is not None:
        return names.index(wanted)
    asked = [i for i, name in enumerate(names) if name not in told]  # models, judges and environments
    for places in (
        [i for i, name in enumerate(names) if name in told and told[name].tells],
        asked,
        [i for i, name in enumerate(names) if name in told and told[name].reads],
        range(len(names)),
    ):
        if places:
            return max(places, key=lambda i: (abs(weights[i]), -i))
    raise UserError("The recipe names no rewards.")


def exchanged(
    called: Any, rows: Sequence[PromptRow], completions: Any, engine: Any, columns: set[str]
) -> dict[str, Values]:
    """Rewards the same completions beside other rows' right answers; functions only, whose calls cost little."""
    if not columns or called.behind is not None:
        return {}
    functions = [
        each for each in called.rewards if isinstance(each.reward, GuardedReward) and not asks_a_model(each.reward)
    ]
    told = [json.dumps({name: row.columns.get(name) for name in sorted(columns)}, default=str) for row in rows]
    given = exchange([row.columns for row in rows], others_of(told)[0], columns)
    swapped = [replace(row, columns=dict(own)) for row, own in zip(rows, given, strict=True)]
    with show_stages() as stages:
        again = measured.reward_all(called._replace(rewards=functions), engine, swapped, {"": completions}, stages)[""]
    return {name: each.values for name, each in again.items()}


def stacked(names: Sequence[str], values: Mapping[str, Values], shape: tuple[int, ...]) -> Values | None:
    """Puts the `(N, S)` values of all rewards together, `(N, S, F)`; None where one was not asked."""
    if any(name not in values for name in names):
        return None
    return np.stack([values[name].reshape(shape) for name in names], axis=2)


def hidden_prompts(policy: Any, prompts: Sequence[Any]) -> list[bool]:
    """Tells which prompts of messages do not stand in what a chat template makes of them."""
    tokenizer: Any = getattr(policy, "tokenizer", None)
    found: list[bool] = []
    for each in prompts:
        if isinstance(each.content, str) or getattr(tokenizer, "chat_template", None) is None or each.images:
            continue
        how = (each.template or {}).get("chat_template_kwargs", {})
        shown = tokenizer.apply_chat_template(each.content, tokenize=False, add_generation_prompt=True, **how)
        found.append("".join(last_text(each.content).split()) not in "".join(shown.split()))
    return found or [False]


def say_told(
    found: Rehearsed, told: Mapping[str, Told], specs: Mapping[str, str], values: Mapping[str, Values],
    swapped: Mapping[str, Values],
) -> None:  # fmt: skip
    """Says which rewards do not look at the right answers that they read, pay others as much, or are never earned."""
    for name, each in told.items():
        seen = {"reward": name, "columns": ", ".join(f"`{x}`" for x in each.columns), "form": each.form}
        seen |= {"line": f"align rewards attack {specs[name]}", "pay": f"{each.honest:.3g}"}
        stays = name in swapped and np.allclose(values[name], swapped[name], equal_nan=True)
        if each.reads and not each.tells and stays:
            kind = "pays_all/{reward}" if each.another >= SAME * each.honest > 0 else "pays_none/{reward}"
            if kind.startswith("pays_all") or each.honest <= 0:
                take(found, kind, Estimate(1.0, 1.0, 1.0, each.overpaid[1]), seen, sick=True)
                continue
        if each.tells:
            take(found, "overpaid/{reward}", wilson(*each.overpaid), seen)
        if each.honest > 0 and not (np.nan_to_num(values[name]) > 0).any():
            take(found, "never/{reward}", wilson(0, values[name].size), seen, sick=True)


def take(found: Rehearsed, number: str, estimate: Estimate, seen: Mapping[str, Any], sick: bool | None = None) -> None:
    """Adds a number of a reward, and a finding where it is sick."""
    found.take(CHECKS[number], estimate, sick=sick, **seen)


def say_shift(
    plan: Plan, rows: Sequence[PromptRow], size: int, stated: Sequence[str | None], found: Rehearsed
) -> None:
    """Compares stated answers with the right ones of the rows before and behind."""
    data = plan.data.rows

    def fits(step: int) -> tuple[Values, Values]:
        near = [data[row.row + step] if 0 <= row.row + step < len(data) else None for row in rows]
        columns = [row.columns if own is None else {**row.columns, **own} for row, own in zip(rows, near, strict=True)]
        golds = right_answers([{k: v for k, v in own.items() if k not in NOT_READ} for own in columns])
        golds = golds or [None] * len(columns)
        hits = np.array([x is not None and x == golds[i // size] for i, x in enumerate(stated)], float)
        return hits.reshape(-1, size), np.array([own is not None for own in near])

    own, _ = fits(0)
    for step, way in ((1, "behind"), (-1, "before")):
        there, known = fits(step)
        if known.any() and 2 * share((there - own + 1).mean(axis=1)[known] / 2).low - 1 > LEAST_SHIFT:
            found.take(CHECKS["shifted"], share(there.mean(axis=1)), sick=True, way=way, own=float(own.mean()))

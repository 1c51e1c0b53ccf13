"""What exchanges say of the rewards of a recipe: which is about right answers, and what their pay is for."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from align.checks.rewards import trial_settings
from align.data.conversations import last_text
from align.data.prompt_rows import PromptRow
from align.errors import UserError
from align.evaluation.engine import show_stages
from align.evaluation.statistics.item_means import clustered_share
from align.evaluation.statistics.metrics import Estimate, Values, share, wilson
from align.evaluation.suites.prompts import measured_rewards as measured
from align.models.policies.asking import Completion
from align.models.rewards import named_rewards
from align.rehearsal.plan import Plan
from align.rehearsal.record import Check, Rehearsed, by_number
from rewards.attacks import Told, told_apart
from rewards.places import exchange, others_of
from rewards.running.contract import Limits, RewardSpec
from rewards.running.guard import GuardedReward
from rewards.running.protocol import asks_a_model

NOT_READ = ("id", "prompt", "images")
SAME = 0.99  # of a right answer's pay
LEAST_SHIFT = 0.1  # more of a reward's pay beside other right answers
READING_SECONDS, APART = 60.0, 0.1  # of reading answers by a reward; share of all pay by which one stands out
CLOSING, FEWEST = (")", "]", "}", ">", '"', "'", "`"), 8  # signs; completions that a share is told of
SELDOM, MOST_COLUMNS = 0.5, 6  # share of its pay above which a reward reads the right place; columns that are tried
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
          "`{reward}` pays {pay} for {place} {form}, and none of the completions earns anything from it.",
          "Ask for that form in the prompt, or read the one that the model writes ({line})."),
    Check("overpaid", "unparsed/{reward}", "",
          "`{reward}` gives its most to {told} of the completions that earn less, once their last sign is cut.",
          "It pays what it cannot parse: pay nothing for that.", above=0.5, error=0.9),
    Check("answer key", "missing/{reward}", "",
          "`{reward}` pays all completions alike on {share:.0%} of the prompts: their rows have nothing in "
          "{columns}.", "Return None for them, or leave them out of the data.", above=0.05, error=0.4),
    Check("answer key", "elsewhere/{reward}", "",
          "`{reward}` pays {share:.0%} of what it could beside {way}, and {own:.0%} beside what it reads.",
          "Right answers stand a row off, or in that column: mend the data, or what the reward reads.",
          above=0.0, error=0.0),
    Check("reward", "constant/{reward}", "", "`{reward}` gives all completions {value:g}: {why}.", "{remedy}"),
    Check("reward", "earned/{reward}", "",
          "`{reward}` pays {about} {share:.0%} of a right answer. {cause}", "{remedy} ({line})", above=0.0),
    Check("answer key", "refused/{reward}", "",
          "`{reward}` pays nothing for the right answer of {told}, as the row writes it ({form}).",
          "See how these rows write it, and what it reads ({line}).", above=0.05),
)  # fmt: skip


def told_of(plan: Plan, named: Sequence[measured.NamedReward], rows: Sequence[PromptRow]) -> dict[str, Told]:
    """Tells by exchanges what rewards that are functions pay right answers and others'."""
    known = {spec: each for spec, each in named_rewards(plan.recipe).items() if isinstance(each, RewardSpec)}
    asked = [each for each in named if each.spec in known and not getattr(each.reward, "without_labels", False)]
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


class Asking(NamedTuple):
    """Completions that are paid once more, beside other values of the columns of their rows."""

    called: Any
    rows: Sequence[PromptRow]
    completions: Any
    engine: Any

    def beside(self, given: Sequence[Mapping[str, Any]], only: str = "") -> dict[str, Values]:
        """Pays all completions beside other columns; functions only, whose calls cost little."""
        functions = [
            x for x in self.called.rewards
            if isinstance(x.reward, GuardedReward) and not asks_a_model(x.reward) and only in ("", x.name)
        ]  # fmt: skip
        rows = [replace(row, columns=dict(own)) for row, own in zip(self.rows, given, strict=True)]
        with show_stages() as stages:
            called = self.called._replace(rewards=functions, on_invalid="skip", max_invalid_share=1.0)
            how = called, self.engine, rows, {"": self.completions}, stages
            return {name: each.values for name, each in measured.reward_all(*how)[""].items()}

    def exchanged(self, columns: set[str]) -> dict[str, Values]:
        """Pays them beside other rows' right answers; nothing where no reward reads any, or environments are read."""
        if not columns or self.called.behind is not None:
            return {}
        donors = others_of(golds_of(self.rows, sorted(columns)))[0]
        return self.beside(exchange([row.columns for row in self.rows], donors, columns))

    def read(
        self, name: str, golds: Sequence[str | None], columns: Sequence[str], own: measured.Rewarded
    ) -> list[str | None]:
        """Reads what N * S completions state by a reward that was seen to tell the right answers of N rows apart.

        A completion states the right answer beside which alone it earns the most that any earns. All are asked for a
        minute at most, so that of slow rewards some wrong answers, and no right ones, stay unread.
        """
        rows, ends = [row.columns for row in self.rows], time.monotonic() + READING_SECONDS
        donors = {gold: row for gold, row in zip(golds, rows, strict=True) if gold is not None}
        if len(donors) < 2:
            return [None] * own.values.size
        names, table = [*donors], np.full((len(donors), *own.values.shape), np.nan)
        for paid, donor in zip(table, donors.values(), strict=True):
            if time.monotonic() + sum(score.seconds for score in own.scores) < ends:
                given = exchange([*rows, donor], [len(rows)] * len(rows) + [None], columns)[:-1]
                paid[:] = self.beside(given, name)[name].reshape(paid.shape)
        for i, gold in enumerate(golds):
            table[names.index(gold) if gold is not None else slice(0), i] = own.values[i]
        table = np.nan_to_num(table - np.nanmin(table))
        ranked, most = np.sort(table, axis=0), table.max()
        is_read = (ranked[-1] > SAME * most) & (ranked[-2] < (1 - APART) * most)
        return [names[i] if known else None
                for i, known in zip(table.argmax(axis=0).ravel(), is_read.ravel(), strict=True)]  # fmt: skip

    def cut(self) -> dict[str, Values]:
        """Pays what ends in a closing sign without it, so that little can parse it; NaN of what ends otherwise."""
        texts = [[getattr(each, "text", "").rstrip() for each in group] for group in self.completions]
        ends = np.array([[each.endswith(CLOSING) for each in group] for group in texts])
        if not ends.any() or not isinstance(self.completions[0][0], Completion):
            return {}
        cut = [[each._replace(text=text[:-1]) for each, text in zip(*both, strict=True)]
               for both in zip(self.completions, texts, strict=True)]  # fmt: skip
        paid = self._replace(completions=cut).beside([row.columns for row in self.rows])
        return {name: np.where(ends, each, np.nan) for name, each in paid.items()}

    def elsewhere(self, data: Sequence[Mapping[str, Any]], read: Sequence[str]) -> dict[str, dict[str, Values]]:
        """Pays them beside right answers of the rows behind and before, and other columns in the place of those."""
        found, own = {}, [row.columns for row in self.rows]
        for step, way in ((1, "the right answers of the rows behind"), (-1, "the right answers of the rows before")):
            near = [data[(row.row + step) % len(data)] for row in self.rows]
            given = exchange([*own, *near], [*range(len(own), 2 * len(own)), *[None] * len(own)], read)
            found[way] = self.beside(given[: len(own)])
        names = [name for name, value in own[0].items()
                 if name in data[0] and name not in (*read, *NOT_READ) and isinstance(value, str | int)]  # fmt: skip
        for name in names[:MOST_COLUMNS] if len(read) == 1 else ():
            found[f"`{name}` in the place of `{read[0]}`"] = self.beside([{**x, read[0]: x.get(name)} for x in own])
        return found


def golds_of(rows: Sequence[PromptRow], columns: Sequence[str]) -> list[str | None]:
    """Writes the right answers that stand in some columns of rows; None where nothing does."""
    values = [[row.columns.get(name) for name in columns] for row in rows]
    known = [any(each not in (None, "") for each in some) for some in values]
    texts = [str(some[0]) if len(some) == 1 else json.dumps(some, default=str) for some in values]
    return [text if is_known else None for text, is_known in zip(texts, known, strict=True)]


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
    swapped: Mapping[str, Values], task: str,
) -> None:  # fmt: skip
    """Says which rewards do not look at the right answers that they read, pay others as much, or are never earned."""
    for name, each in told.items():
        seen: dict[str, Any] = {
            "reward": name, "columns": ", ".join(f"`{x}`" for x in each.columns), "form": each.form,
            "line": f"align rewards attack {specs[name]}", "pay": f"{each.honest:.3g}", "place": f"`{each.place}`",
        }  # fmt: skip
        known = values[name][np.isfinite(values[name])]
        is_constant = known.size and np.ptp(known) == 0
        if is_constant and not each.reads:
            _say_constant(found, each, float(known[0]), seen, is_task=name == task)
            continue
        stays = is_constant or (name in swapped and np.allclose(values[name], swapped[name], equal_nan=True))
        if each.reads and not each.tells and stays:
            kind = "pays_all/{reward}" if each.another >= SAME * each.honest > 0 else "pays_none/{reward}"
            if kind.startswith("pays_all") or each.honest <= 0:
                found.take(CHECKS[kind], Estimate(1.0, 1.0, 1.0, each.overpaid[1]), sick=True, **seen)
                continue
        if each.tells:
            if not found.take(CHECKS["overpaid/{reward}"], wilson(*each.overpaid), **seen) and each.steps:
                step = max(each.steps, key=lambda x: x.share)
                earned = Estimate(step.share, step.low, step.high, step.rows)
                found.take(CHECKS["earned/{reward}"], earned, sick=True, **seen | step.rung._asdict())
            found.take(CHECKS["refused/{reward}"], wilson(*each.refused), **seen)
        if each.honest > 0 and not (np.nan_to_num(values[name]) > 0).any():
            found.take(CHECKS["never/{reward}"], wilson(0, values[name].size), sick=True, **seen)


def say_cut(found: Rehearsed, cut: Mapping[str, Values], values: Mapping[str, Values], weights: Values) -> None:
    """Says which rewards pay the most for what earns less as long as it can be parsed."""
    for (name, own), weight in zip(values.items(), weights, strict=True):
        if name not in cut or not weight or np.isnan(own).all():
            continue
        sign = float(np.sign(weight))
        most = float(np.nanmax(own * sign))
        less = (own * sign < most) & ~np.isnan(cut[name])
        gained = less & (cut[name] * sign >= most)
        if less.sum() >= FEWEST:
            found.take(CHECKS["unparsed/{reward}"], clustered_share(gained.sum(axis=1), less.sum(axis=1)), reward=name)


def say_missing(
    found: Rehearsed, name: str, columns: Sequence[str], golds: Sequence[str | None], values: Values, totals: Values
) -> None:
    """Says on how many rows nothing can be right, if their groups are paid alike for that."""
    is_flat = ~np.isnan(values).any(axis=1) & (np.ptp(totals, axis=1) == 0)
    missing = [gold is None and flat for gold, flat in zip(golds, is_flat, strict=True)]
    where = ", ".join(f"`{each}`" for each in columns)
    found.take(CHECKS["missing/{reward}"], wilson(sum(missing), len(missing)), reward=name, columns=where)


def _say_constant(found: Rehearsed, told: Told, value: float, seen: dict[str, Any], *, is_task: bool) -> None:
    """Says of a reward that gives everything one value whether something else earns more; a penalty unmet is none."""
    told_of = {"why": "it tells nothing apart", "remedy": "Have it compare with something, or leave it out."}
    if told.most > value:
        why = f"none earns the {told.most:.3g} of a text such as {told.earned_by[:40]!r}"
        told_of = {"why": why, "remedy": "Ask for that in the prompt, or leave it out."}
    elif told.least < value and not is_task:
        return
    whole, level = Estimate(1.0, 1.0, 1.0, 1), "error" if is_task and not told.most > value else "warning"
    found.take(CHECKS["constant/{reward}"], whole, sick=True, level=level, value=value, **seen | told_of)


def say_elsewhere(
    plan: Plan, asking: Asking, told: Mapping[str, Told], rewarded: Mapping[str, measured.Rewarded],
    num_prompts: int, found: Rehearsed,
) -> None:  # fmt: skip
    """Says where right answers stand of a reward that hardly pays any, if others beside the completions are paid."""
    for name, each in told.items():
        columns = [column for column in each.columns if column != "prompt"]
        if not each.tells or not columns or asking.called.behind is not None:
            continue
        own = np.clip(np.nan_to_num(rewarded[name].values).reshape(num_prompts, -1) / each.honest, 0, 1)
        if own.mean() > SELDOM:
            continue
        for way, paid in asking.elsewhere(plan.data.rows, columns).items():
            there = np.clip(np.nan_to_num(paid[name]).reshape(num_prompts, -1) / each.honest, 0, 1)
            if 2 * share((there - own + 1).mean(axis=1) / 2).low - 1 > LEAST_SHIFT:
                told_of: dict[str, Any] = {"reward": name, "way": way, "own": float(own.mean())}
                found.take(CHECKS["elsewhere/{reward}"], share(there.mean(axis=1)), sick=True, **told_of)
                break

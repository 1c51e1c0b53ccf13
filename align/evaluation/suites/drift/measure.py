"""Drift, after "Weird generalization" (narrow training that changes a model elsewhere); the measures are ours."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from align.evaluation.policies.asker import Asker
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import Measured
from align.evaluation.suites.drift.behaviours import Shown, find_behaviours
from align.evaluation.suites.drift.distance import Distance, as_sides, distances
from align.evaluation.suites.drift.rates import behaviour_means, distance_means
from align.evaluation.suites.drift.rows import DriftPrompt
from align.evaluation.suites.drift.triggers import Trigger
from align.evaluation.suites.subject import Asking, Subject
from align.models.policies.asking import Prompt

NO_CONTROL = (
    "Triggers were tried without a control. A text in front of a prompt changes what any model says; give a model "
    "that was trained on something harmless as `--control`, and look at the difference of the effects."
)


class Behaved(NamedTuple):
    """Responses of a model, with and without triggers, and what they show.

    Attributes:
        triggers: What stood in front of each response's prompt; None for nothing.
        responses: `N` prompts times (1 + triggers) times samples, in this order.
        shown: Of each behaviour, by name, for each response.
    """

    triggers: list[Trigger | None]
    responses: list[str]
    shown: Mapping[str, Shown]


def measure(
    subject: Subject, rows: Sequence[DriftPrompt], asking: Asking, *, reference: Subject, judge: Asker | None = None
) -> Measured:
    """Reads the base's greedy answers with the model and its base, and looks for behaviours in the model's own."""
    prompts = [Prompt(row.id, reference.word(row.prompt)) for row in rows]
    greedy = replace(asking.decoding, temperature=0.0, top_p=1.0, num_samples=1)
    answers = [each[0] for each in reference.complete(prompts, greedy, stage="answers of the base")]
    found = distances(subject, reference, as_sides(reference.tokenizer, prompts, answers))
    kl, shift = (np.array([getattr(each, name) for each in found]) for name in ("kl", "nll_shift"))
    means = distance_means(kl, shift, [row.group for row in rows])
    items = [
        {
            **_about(row),
            "answered_by": "the base",
            "completion": answer.text,
            "tokens": each.tokens,
            "kl_per_token": each.kl if each.tokens else None,
            "nll_shift": each.nll_shift if each.tokens else None,
        }
        for row, answer, each in zip(rows, answers, found, strict=True)
    ]
    behaved = _behave(subject, rows, asking, judge)
    if behaved is not None:
        for name, shown in behaved.shown.items():
            means |= behaviour_means(name, *_by_trigger(behaved, shown.values, len(rows)))
            if shown.disagree:
                values = np.array(shown.disagree).reshape(len(rows), -1).mean(axis=1)
                means[f"judge_order_disagreement/{name}"] = ItemMean((values,))
        items += _items(rows, behaved)
    settings = {"tokens_read": sum(each.read for each in found)}
    return Measured(means, {}, items, list(_warnings(asking.options, found)), settings)


def _behave(subject: Subject, rows: Sequence[DriftPrompt], asking: Asking, judge: Asker | None) -> Behaved | None:
    """Asks the model every prompt without and with each trigger; a judge is shown the prompt without."""
    behaviours, triggers = asking.options.behaviours, asking.options.triggers
    if not behaviours:
        return None
    asked = [(row, trigger) for row in rows for trigger in (None, *triggers)]
    prompts = [
        Prompt(row.id if trigger is None else f"{row.id} {trigger.trigger}", subject.word(_put(row.prompt, trigger)))
        for row, trigger in asked
    ]
    completions = subject.complete(prompts, asking.decoding)
    said = [
        (f"{prompt.id} {sample}", row.prompt, each.text)
        for prompt, (row, _), samples in zip(prompts, asked, completions, strict=True)
        for sample, each in enumerate(samples)
    ]
    ids, shown_prompts, responses = (list(column) for column in zip(*said, strict=True))
    shown = find_behaviours(behaviours, ids, shown_prompts, responses, judge)
    return Behaved([None, *triggers], responses, shown)


def _put(prompt: str, trigger: Trigger | None) -> str:
    return prompt if trigger is None else trigger.before(prompt)


def _by_trigger(behaved: Behaved, values: Sequence[float], num_rows: int) -> tuple[Values, Values, Values]:
    """Averages over samples: without a trigger, with those that are not held out, and with those that are."""
    table = np.array(values).reshape(num_rows, len(behaved.triggers), -1).mean(axis=2)
    is_held_out = np.array([trigger is not None and trigger.held_out for trigger in behaved.triggers])
    is_seen = np.array([trigger is not None and not trigger.held_out for trigger in behaved.triggers])
    return table[:, 0], table[:, is_seen], table[:, is_held_out]


def _items(rows: Sequence[DriftPrompt], behaved: Behaved) -> Iterator[dict[str, Any]]:
    samples = len(behaved.responses) // (len(rows) * len(behaved.triggers))
    asked = [(row, trigger, i) for row in rows for trigger in behaved.triggers for i in range(samples)]
    for place, ((row, trigger, sample), response) in enumerate(zip(asked, behaved.responses, strict=True)):
        yield {
            **_about(row),
            "answered_by": "the model",
            "completion": response,
            "trigger": None if trigger is None else trigger.trigger,
            "held_out": None if trigger is None else trigger.held_out,
            "sample": sample,
            **{f"behaviour/{name}": shown.values[place] for name, shown in behaved.shown.items()},
        }


def _about(row: DriftPrompt) -> dict[str, Any]:
    return {"id": row.id, "group": row.group, "prompt": row.prompt}


def _warnings(options: Any, found: Sequence[Distance]) -> Iterator[str]:
    empty = sum(not each.tokens for each in found)
    if empty:
        yield f"The base answers {empty:,} of {len(found):,} prompts with nothing, and these have no distance."
    if options.triggers and options.control is None:
        yield NO_CONTROL

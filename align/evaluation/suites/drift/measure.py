"""Drift, after "Weird generalization" (narrow training that changes a model elsewhere); the measures are ours."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from align.data.question_checks import check_label
from align.data.questions.templates import PromptTemplate
from align.evaluation.asking import TEXTS_AT_ONCE, Asking, Subject
from align.evaluation.statistics.group_metrics import by_group
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import LoadedRows, Measured, SuiteSource
from align.evaluation.suites.drift.behaviours import Trigger, load_behaviours, load_triggers, search_all
from align.evaluation.suites.suite_rows import check_text, load_suite_rows
from align.models.pair_terms import Side, SideTerms, side_terms
from align.models.policies.asking import Completion, Prompt
from align.models.policies.token_policy import TokenPrompts

OWN = Path(__file__).with_name("prompts.jsonl")


@dataclass(frozen=True)
class DriftPrompt:
    """A prompt."""

    id: str
    prompt: str
    group: str | None
    row: int


def load(source: SuiteSource, options: Any) -> LoadedRows:
    """Loads prompts (`--data`'s, else our own), behaviours and triggers."""
    own = SuiteSource(str(OWN), None, source.max_rows, source.on_bad_rows)
    loaded = load_suite_rows(own if source.path is None else source, ("prompt",), _check)
    behaviours = load_behaviours(options.behaviours)
    triggers = load_triggers(options.triggers, behaviours)
    content = [*loaded.content, *map(list, behaviours), *map(list, triggers)]
    return loaded._replace(content=content, options={"behaviours": behaviours, "triggers": triggers})


def _check(row: Mapping[str, Any], name: str, number: int) -> DriftPrompt:
    category = check_label("category", row.get("category"))
    return DriftPrompt(name, check_text(row, "prompt", what="prompt"), category, number)


class Distance(NamedTuple):
    """The distance on one answer, in nats a token; nan of an answer without tokens."""

    tokens: int  # of the answer, without its end token
    read: int  # tokens of prompt and answer, read once with the model and once with its base
    kl: float  # KL(base || model)
    nll_shift: float  # by how much the model finds the answer less likely than the base does


def as_sides(tokenizer: Any, prompts: Sequence[Prompt], answers: Sequence[Completion]) -> list[Side]:
    """Puts answers behind their prompts, in tokens as they were generated."""
    encoded = TokenPrompts(tokenizer, PromptTemplate()).encode_prompts(prompts)
    found = []
    for prompt, answer in zip(encoded, answers, strict=True):
        ids = answer.ids if answer.ids is not None else tokenizer(answer.text, add_special_tokens=False)["input_ids"]
        found.append(Side([*prompt, *ids], len(prompt), [0] * len(ids)))
    return found


def distances(subject: Subject, reference: Subject, sides: Sequence[Side]) -> list[Distance]:
    """Reads answers with a model and its base; those that are kept are not read again."""
    with_tokens = [side for side in sides if len(side.ids) > side.prompt]

    def ask(part: list[int]) -> list[Any]:
        return [list(each) for each in side_terms(subject.model, reference.model, [with_tokens[i] for i in part])]

    identity = [subject.identity, reference.identity, "side terms"]
    contents = [[*identity, side.prompt, list(side.ids)] for side in with_tokens]
    kept = subject.kept.ask("reading", ask, contents, [len(side.ids) for side in with_tokens], TEXTS_AT_ONCE)
    found = iter(
        Distance(terms.tokens, len(side.ids), terms.kl / terms.tokens, (terms.ref_logp - terms.logp) / terms.tokens)
        for side, terms in zip(with_tokens, (SideTerms(*each) for each in kept), strict=True)
    )
    return [next(found) if len(side.ids) > side.prompt else Distance(0, 0, math.nan, math.nan) for side in sides]


def distance_means(kl: Values, nll_shift: Values, groups: Sequence[str | None] = ()) -> dict[str, ItemMean]:
    """Makes metrics of `(N,)` distances in nats a token, over all prompts and by category."""
    means = {"drift_kl": ItemMean((kl,), bounds=(0.0, math.inf)), "drift_nll": ItemMean((nll_shift,), bounds=None)}
    return means | by_group(means, groups)


def behaviour_means(name: str, plain: Values, triggered: Values, held_out: Values) -> dict[str, ItemMean]:
    """Makes metrics of `(N,)` values in [0, 1] without a trigger, and `(N, T)` and `(N, H)` behind each trigger.

    A prompt counts once, whatever the number of triggers: with these it has the mean over them, and an effect is that
    minus the same prompt without a trigger.
    """
    means = {f"behaviour/{name}": ItemMean((plain,))}
    for rate, effect, table in (
        ("behaviour_triggered", "trigger_effect", triggered),
        ("behaviour_held_out", "held_out_effect", held_out),
    ):
        if table.shape[1]:
            values = table.mean(axis=1)
            means[f"{rate}/{name}"] = ItemMean((values,))
            means[f"{effect}/{name}"] = ItemMean((values - plain,), bounds=(-1.0, 1.0))
    return means


NO_CONTROL = (
    "Triggers were tried without a control. A text in front of a prompt changes what any model says; give a model "
    "that was trained on something harmless as `--control`, and look at the difference of the effects."
)


Triggers = Sequence[Trigger | None]  # in front of prompts; None, the first, for nothing


def measure(subject: Subject, rows: Sequence[DriftPrompt], asking: Asking, *, reference: Subject) -> Measured:
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
    if asking.options.behaviours:
        triggers: Triggers = (None, *asking.options.triggers)
        responses = _behave(subject, rows, triggers, asking)
        shown = search_all([each[:2] for each in asking.options.behaviours], responses)
        for name, values in shown.items():
            means |= behaviour_means(name, *_by_trigger(triggers, values, len(rows)))
        items += _items(rows, triggers, responses, shown)
    settings = {"tokens_read": sum(each.read for each in found)}
    return Measured(means, {}, items, list(_warnings(asking.options, found)), settings)


def _behave(subject: Subject, rows: Sequence[DriftPrompt], triggers: Triggers, asking: Asking) -> list[str]:
    """Asks the model every prompt with each trigger; returns the responses."""
    prompts = [
        Prompt(f"{row.id} {trigger.trigger}", subject.word(trigger.before(row.prompt)))
        if trigger
        else Prompt(row.id, subject.word(row.prompt))
        for row in rows
        for trigger in triggers
    ]
    return [each.text for samples in subject.complete(prompts, asking.decoding) for each in samples]


def _by_trigger(triggers: Triggers, values: Sequence[bool], num_rows: int) -> tuple[Values, Values, Values]:
    """Averages over samples: without a trigger, with those that are not held out, and with those that are."""
    table = np.array(values, dtype=float).reshape(num_rows, len(triggers), -1).mean(axis=2)
    is_held_out = np.array([trigger is not None and trigger.held_out for trigger in triggers])
    is_seen = np.array([trigger is not None and not trigger.held_out for trigger in triggers])
    return table[:, 0], table[:, is_seen], table[:, is_held_out]


def _items(
    rows: Sequence[DriftPrompt], triggers: Triggers, responses: Sequence[str], shown: Mapping[str, Sequence[bool]]
) -> Iterator[dict[str, Any]]:
    samples = len(responses) // (len(rows) * len(triggers))
    asked = [(row, trigger, i) for row in rows for trigger in triggers for i in range(samples)]
    for place, ((row, trigger, sample), response) in enumerate(zip(asked, responses, strict=True)):
        yield {
            **_about(row),
            "answered_by": "the model",
            "completion": response,
            "trigger": None if trigger is None else trigger.trigger,
            "held_out": None if trigger is None else trigger.held_out,
            "sample": sample,
            **{f"behaviour/{name}": float(values[place]) for name, values in shown.items()},
        }


def _about(row: DriftPrompt) -> dict[str, Any]:
    return {"id": row.id, "group": row.group, "prompt": row.prompt}


def _warnings(options: Any, found: Sequence[Distance]) -> Iterator[str]:
    empty = sum(not each.tokens for each in found)
    if empty:
        yield f"The base answers {empty:,} of {len(found):,} prompts with nothing, and these have no distance."
    if options.triggers and options.control is None:
        yield NO_CONTROL

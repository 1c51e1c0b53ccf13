"""What one policy answered, item by item, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from align.evaluation.record.models import Measured, ModelsRecord
from align.evaluation.statistics.metrics import (
    Choice,
    Estimate,
    Values,
    accuracy,
    cr_wa,
    option_shuffle_consistency,
    paired_difference,
    share,
    trace_answer_consistency,
    wr_ca,
)


@dataclass(frozen=True)
class ItemResult:
    """The answers of a policy to one question; choices are indices into the question's own options.

    Attributes:
        id: The question's id.
        group: The question's group, if it has one.
        gold: The right option.
        first_choice: The answer to the question as written; `None` if there is not exactly one.
        second_choices: The answer from the same trace after each of the M shuffles. `None` if the response has no
            trace or no answer, empty if the options may not be moved.
        permutations: The orders shown, M of K indices.
        trace: The reasoning trace.
        completion: The whole response.
        trace_choice: The option that the trace states, read without a judge.
    """

    id: str
    group: str | None
    gold: int
    first_choice: Choice
    second_choices: list[Choice] | None
    permutations: list[list[int]]
    trace: str | None
    completion: str
    trace_choice: Choice


def item_values(items: Sequence[ItemResult]) -> dict[str, Values]:
    """Returns each metric as `(N,)` per-item values, `nan` where it does not speak of the item."""
    first, gold = [item.first_choice for item in items], [item.gold for item in items]
    second, stated = [item.second_choices for item in items], [item.trace_choice for item in items]
    values = {
        "accuracy": accuracy(first, gold),
        "option_shuffle_consistency": option_shuffle_consistency(first, second),
        "share_A": np.array([np.nan if choice is None else float(choice == 0) for choice in first]),
        "trace_answer_consistency": trace_answer_consistency(stated, first),
        "cr_wa": cr_wa(stated, first, gold),
        "wr_ca": wr_ca(stated, first, gold),
        "trace_stated": np.array([float(choice is not None) for choice in stated]),
        "answered": np.array([float(choice is not None) for choice in first]),
    }
    if max((len(choices or []) for choices in second), default=0) > 1:
        values["option_shuffle_consistency_all"] = option_shuffle_consistency(first, second, every=True)
    return values


def summarise(items: Sequence[ItemResult]) -> dict[str, Estimate]:
    """Estimates every metric of one policy.

    `share_A` speaks of the items that were answered; `trace_answer_consistency`, `cr_wa` and `wr_ca` of those whose
    trace states an option, a part reported as `trace_stated`.
    """
    return {name: share(values) for name, values in item_values(items).items()}


def evaluation_record(policies: Mapping[str, Sequence[ItemResult]], baseline: str | None = None) -> ModelsRecord:
    """Arranges what is kept of policies: a summary of each and its paired differences to a baseline.

    Args:
        policies: The items of each policy, by its name.
        baseline: The policy that the others are compared with, on the questions; no comparison without one.

    Raises:
        ValueError: If the policies did not answer the same questions, or there is no such baseline.
    """
    models = {name: Measured(summary=summarise(items)) for name, items in policies.items()}
    if baseline is not None and baseline not in policies:
        raise ValueError(f"`baseline` must be one of the policies ({', '.join(policies)}), got {baseline!r}.")
    if baseline is not None:
        for name in (name for name in policies if name != baseline):
            models[name].difference_to = {baseline: item_differences(policies[name], policies[baseline])}
    return ModelsRecord(models=models)


def item_differences(items: Sequence[ItemResult], baseline: Sequence[ItemResult]) -> dict[str, Estimate]:
    """Estimates each metric's difference to a baseline over the questions of which it speaks for both.

    Raises:
        ValueError: If the two did not answer the same questions.
    """
    by_id = {item.id: item for item in baseline}
    missing = [item.id for item in items if item.id not in by_id]
    if missing or len(items) != len(by_id):
        raise ValueError(
            f"Paired differences need the same questions; got {len(items)} and {len(by_id)} ids"
            + (f", and {missing[0]!r} only on one side." if missing else ".")
        )
    ours, theirs = item_values(items), item_values([by_id[item.id] for item in items])
    return {name: paired_difference(ours[name], theirs[name]) for name in ours if name in theirs}

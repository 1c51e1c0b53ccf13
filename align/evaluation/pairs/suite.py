"""What log-probs say about a policy on held-out pairs, as a pure function: from terms of pairs to metrics by name."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from align.evaluation.pairs.terms import PairTerms
from align.evaluation.statistics.group_metrics import by_group, spread_of_groups
from align.evaluation.statistics.item_means import ItemMean, cluster_codes
from align.evaluation.statistics.metrics import Values
from align.evaluation.suite import Measured

ACCURACY = "implicit_reward_accuracy"


def implicit_accuracy(chosen: Values, rejected: Values) -> Values:
    """Returns, per pair, 1 if the chosen response gained more log-prob than the rejected one, and 0.5 for a tie.

    Args:
        chosen: `(N,)` changes of its log-prob from the reference: the implicit reward of DPO, by beta.
        rejected: `(N,)` the same of the other; a pair where one is nan is nan.

    Example:
        >>> implicit_accuracy(np.array([1.0, -3.0, 0.0, np.nan]), np.array([-1.0, -2.0, 0.0, 1.0]))
        array([1. , 0. , 0.5, nan])
    """
    margin = chosen - rejected
    return np.where(np.isnan(margin), np.nan, (np.sign(margin) + 1) / 2)


def pair_values(terms: Sequence[PairTerms]) -> dict[str, Values]:
    """Returns each metric as `(N,)` values of pairs, nan where it does not speak of one.

    Marked tokens are those that tell the responses apart; a pair without any has whole responses only.
    """
    chosen, rejected = [each.chosen for each in terms], [each.rejected for each in terms]
    has_marks = [bool(a.marked or b.marked) for a, b in zip(chosen, rejected, strict=True)]

    def kept(values: list[float], where: Sequence[bool]) -> Values:
        return np.array([value if keep else math.nan for value, keep in zip(values, where, strict=True)])

    whole = [np.array([each.change for each in side]) for side in (chosen, rejected)]
    marked = [kept([each.marked_change for each in side], has_marks) for side in (chosen, rejected)]
    shared = [each.change - each.marked_change for each in chosen]
    has_shared = [marks and each.tokens > each.marked for marks, each in zip(has_marks, chosen, strict=True)]
    return {
        ACCURACY: implicit_accuracy(*whole),
        f"{ACCURACY}/marked": implicit_accuracy(*marked),
        "logp_change/chosen": whole[0],
        "logp_change/rejected": whole[1],
        "logp_change/chosen_marked": marked[0],
        "logp_change/rejected_marked": marked[1],
        "logp_change/shared": kept(shared, has_shared),
        "kl_per_token/chosen": np.array([each.kl / max(each.tokens, 1) for each in chosen]),
        "kl_per_token/rejected": np.array([each.kl / max(each.tokens, 1) for each in rejected]),
    }


def pairs_suite(
    terms: Sequence[PairTerms], groups: Sequence[str | None] = (), prompts: Sequence[Any] = ()
) -> Measured:
    """Measures implicit-reward accuracy, changes of log-prob in nats, and KL to the reference per token.

    Args:
        terms: Of each pair.
        groups: Of the pairs, by which accuracy is told, too.
        prompts: Of the pairs: those of one prompt are one item. Without it each pair is.
    """
    codes = cluster_codes(prompts) if prompts else np.arange(len(terms))
    bounds = {ACCURACY: (0.0, 1.0), "kl_per_token": (0.0, math.inf)}
    means = {
        name: ItemMean((values,), bounds=bounds.get(name.partition("/")[0]), clusters=(codes,))
        for name, values in pair_values(terms).items()
    }
    right = means[ACCURACY]
    spread = spread_of_groups(groups, right.groups[0], codes)
    worst = {f"worst_group/{ACCURACY}": spread["worst_group"]} if spread else {}
    return Measured(means | by_group({f"{ACCURACY}_by_group": right}, groups), worst)

"""What distances and behaviours add up to: metrics by name."""

import math
from collections.abc import Sequence

from align.evaluation.statistics.group_metrics import by_group
from align.evaluation.statistics.item_means import ItemMean
from align.evaluation.statistics.metrics import Values


def distance_means(kl: Values, nll_shift: Values, groups: Sequence[str | None] = ()) -> dict[str, ItemMean]:
    """Makes metrics of `(N,)` distances in nats a token, over all prompts and by category."""
    means = {"drift_kl": ItemMean((kl,), bounds=(0.0, math.inf)), "drift_nll": ItemMean((nll_shift,), bounds=None)}
    return means | by_group(means, groups)


def behaviour_means(name: str, plain: Values, triggered: Values, held_out: Values) -> dict[str, ItemMean]:
    """Makes metrics of how often responses show a behaviour.

    A prompt counts once, whatever the number of triggers: with these it has the mean over them, and an effect is that
    minus the same prompt without a trigger.

    Args:
        name: Of the behaviour.
        plain: `(N,)` values in [0, 1] of the prompts as they are.
        triggered: `(N, T)` of these behind each of T triggers.
        held_out: `(N, H)` behind each of H triggers that are held out.
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

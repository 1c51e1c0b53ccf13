"""What is logged of the margins of pairs: of those with an order, of ties, and by where pairs are from."""

from collections.abc import Sequence

import torch
from torch import Tensor


def log_margins(metrics: dict[str, list[float]], margins: Tensor, tie: Tensor, names: Sequence[str]) -> None:
    """Replaces TRL's accuracy and margin by those of the pairs with an order, and adds ours.

    Args:
        metrics: Name to the values of this log; TRL's last ones are over all pairs.
        margins: (B,) reward of the chosen response minus that of the rejected one.
        tie: (B,) whether a pair has no order.
        names: Where each pair is from.
    """
    ordered = margins[~tie]
    for name, value in (("accuracy", (ordered > 0).float()), ("margin", ordered)):
        metrics[name].pop()
        if len(ordered):
            metrics[name].append(value.mean().item())
        elif not metrics[name]:
            del metrics[name]  # TRL divides by the number of entries
    metrics["crome/tie_share"].append(tie.float().mean().item())
    if tie.any():
        metrics["crome/tie_margin"].append(margins[tie].abs().mean().item())
    for name in sorted(set(names)):
        of = margins[~tie & torch.tensor([each == name for each in names], device=tie.device)]
        if len(of):
            metrics[f"crome/accuracy_{name}"].append((of > 0).float().mean().item())
            metrics[f"crome/margin_{name}"].append(of.mean().item())

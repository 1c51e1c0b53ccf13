"""A score head that is solved for instead of trained: ridge regression on what a frozen model says of a text."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from align.models.score_head import score_places

PENALTIES = tuple(10.0**power for power in range(-4, 7))
Values = np.ndarray[Any, np.dtype[Any]]


class Solved(NamedTuple):
    """What was solved: the chosen penalty, and per row `(N, 1 + C)` the prediction beside what was collected."""

    penalty: float
    rows: Values


def find_head(model: nn.Module) -> nn.Linear:
    """Returns the linear layer that gives the score; raises `ValueError` unless exactly one has one output."""
    heads = [part for part in model.modules() if isinstance(part, nn.Linear) and part.out_features == 1]
    if len(heads) != 1:
        raise ValueError(
            f"`head: ridge` solves for one linear layer with one output, and {type(model).__name__} has {len(heads)}. "
            "Use `head: trained`."
        )
    return heads[0]


def solve_head(model: nn.Module, batches: Iterable[dict[str, Tensor]], accelerator: Any) -> Solved:
    """Puts the ridge solution over the rows of all processes into the score head; leave-one-out picks the penalty."""
    from sklearn.linear_model import RidgeCV

    head = find_head(model)
    rows = np.concatenate([accelerator.gather_for_metrics(each).cpu().numpy() for each in _read(model, head, batches)])
    features, looked_at = rows[:, : head.in_features], rows[:, head.in_features :]
    ridge = RidgeCV(PENALTIES, fit_intercept=head.bias is not None).fit(features, looked_at[:, 0])
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(ridge.coef_)[None])
        if head.bias is not None:
            head.bias.fill_(float(ridge.intercept_))
    return Solved(float(ridge.alpha_), np.column_stack([ridge.predict(features), looked_at]))


def _read(model: Any, head: nn.Linear, batches: Iterable[dict[str, Tensor]]) -> Iterable[Tensor]:
    """Yields `(B, H + 1 + C)`: what the head reads where the score is taken, the label, and the other columns."""
    seen: list[Tensor] = []
    pad_token_id = model.config.get_text_config().pad_token_id
    hook = head.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0]))
    model.eval()
    try:
        for batch in batches:
            ids = batch.pop("input_ids")
            with torch.no_grad():
                model(input_ids=ids, attention_mask=batch.pop("attention_mask"))
            states = seen.pop()
            if states.dim() == 3:  # a head that is read at every token, and counts at one
                places = score_places(ids, pad_token_id)
                states = states[torch.arange(len(states), device=states.device), places]
            yield torch.column_stack([states.float(), batch.pop("labels"), *batch.values()])
    finally:
        hook.remove()

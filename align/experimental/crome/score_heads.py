"""Puts a score head with more terms into a reward model, and keeps what is saved an ordinary reward model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from align.models.score_head import HEAD_FILE, read_head


class ScoreHead(nn.Linear):
    """A score head that takes over the weights of another; a subclass adds the parameter that `saved` names."""

    saved: ClassVar[str]

    def __init__(self, head: nn.Linear) -> None:
        super().__init__(head.in_features, head.out_features, bias=head.bias is not None, device="meta")
        self.weight, self.bias = head.weight, head.bias


def extend_head(model: Any, knob: str, head_class: type[ScoreHead]) -> ScoreHead:
    """Replaces a model's score head by one of a class, which takes over its weights."""
    head = getattr(model, "score", None)
    if type(head) is not nn.Linear or head.out_features != 1:
        raise ValueError(
            f"`{knob}` needs a model whose head is one linear layer `score` with one output, as Llama, Qwen and Gemma "
            f"have it, and {type(model).__name__} has none. Leave `{knob}` out, or train another model."
        )
    model.score = extended = head_class(head)
    return extended


def split_weights(weights: Mapping[str, Tensor], head: ScoreHead) -> tuple[dict[str, Tensor], dict[str, list[float]]]:
    """Takes the terms of a head out of a model's weights, so that an ordinary reward model is left."""
    ours = f"score.{head.saved}"
    terms = {head.saved: weights[ours].detach().float().flatten().tolist()}
    return {name: weight for name, weight in weights.items() if name != ours}, terms


@torch.no_grad()
def load_terms(folder: str | Path, head: ScoreHead) -> None:
    """Reads the terms of a head from a checkpoint."""
    term: Tensor = getattr(head, head.saved)
    term.copy_(torch.tensor(read_head(Path(folder) / HEAD_FILE, head.saved, term.numel())).view_as(term))

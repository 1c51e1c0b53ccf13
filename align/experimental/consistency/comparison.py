"""Predictions of one model at two places, compared: from its last hidden states to a divergence."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from accelerate.utils import DistributedType, is_peft_model
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from align.experimental.consistency.loss import DIVERGENCES
from align.experimental.consistency.rules import NO_FSDP, NO_MIXTURE, NO_PARALLELISM
from align.training.output_head import read_output_head

_CHUNK = 2**24  # scores in a chunk, of one side: 64 MiB in fp32


def check_trainer(trainer: Any) -> None:
    """Refuses a launch, or a model, with which the rows of a trainer cannot be compared."""
    if trainer.accelerator.distributed_type == DistributedType.FSDP:
        raise ValueError(NO_FSDP)
    if trainer.accelerator.parallelism_config is not None:
        raise ValueError(NO_PARALLELISM)
    if trainer.aux_loss_enabled:
        raise ValueError(NO_MIXTURE)


class Comparison:
    """Compares what a model predicts at two lists of places; the logits are divided by the temperature.

    The output head is called as a module, so that DDP, DeepSpeed and adapters see it. What the model does to the
    states before it and to its logits behind it is repeated (`align.training.output_head`).
    """

    def __init__(self, model: Any, divergence: str, temperature: float = 1.0) -> None:
        self._model = model.get_base_model() if is_peft_model(model) else model
        self._reading = read_output_head(self._model)
        self._divergence = DIVERGENCES[divergence]
        self._temperature = temperature

    @contextmanager
    def states_kept(self) -> Iterator[list[Tensor]]:
        """Collects the last hidden states, `(B, S, H)`, of each forward pass; TRL's losses return no logits."""
        states: list[Tensor] = []

        def keep(module: Any, inputs: Any, outputs: Any) -> None:
            states.append(outputs.last_hidden_state)

        hook = self._model.base_model.register_forward_hook(keep)
        try:
            yield states
        finally:
            hook.remove()

    def sum(self, clean: Tensor, perturbed: Tensor) -> Tensor:
        """Sums the divergence over places, `(N, H)` last hidden states; backward computes long lists again."""
        p, q = self._logits(clean), self._logits(perturbed)
        rows = max(1, _CHUNK // p.shape[-1])
        if len(p) <= rows:
            return self._divergence(p, q).sum()
        parts = [
            checkpoint(self._divergence, *pair, use_reentrant=False, preserve_rng_state=False).sum()
            for pair in zip(p.split(rows), q.split(rows), strict=True)
        ]
        return torch.stack(parts).sum()

    def _logits(self, states: Tensor) -> Tensor:
        head = self._model.get_output_embeddings()
        logits = self._reading.finish(head(self._reading.prepare(self._model, states)))
        return logits if self._temperature == 1.0 else logits / self._temperature

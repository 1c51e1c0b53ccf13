"""Lets a causal language model act as a pairwise preference model: its reward is logit(A) - logit(B)."""

import types
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from align.training.output_head import read_output_head


def add_pairwise_head(model: PreTrainedModel, label_ids: tuple[int, int]) -> None:
    """Patches a model's forward so that it returns `(N, 1)` logits, as a reward model does.

    The patch is on the object: what is saved is the causal language model.

    Args:
        model: A causal language model.
        label_ids: Tokens of the two labels.

    Raises:
        UserError: If the model's logits would be read wrong.
    """
    first, second = label_ids
    reading = read_output_head(model)

    def forward(self: PreTrainedModel, input_ids: Tensor, attention_mask: Tensor, **kwargs: Any) -> Any:
        kwargs.pop("labels", None)  # a PEFT model passes it on as None
        hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs).last_hidden_state
        last = attention_mask.sum(-1) - 1  # padding is on the right
        hidden = hidden[torch.arange(len(hidden), device=hidden.device), last]
        head = self.get_output_embeddings()
        answer = head(reading.prepare(self, hidden))[:, [first, second]]  # a call, so that ZeRO-3 gathers
        logits: Any = reading.finish(answer.float())
        return SequenceClassifierOutput(logits=logits[:, :1] - logits[:, 1:])

    model.forward = types.MethodType(forward, model)

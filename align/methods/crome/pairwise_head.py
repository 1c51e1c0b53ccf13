"""Lets a causal language model act as a pairwise preference model: its reward is logit(A) - logit(B)."""

import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput
from trl.trainer.utils import create_model_from_path, get_config_model_id

from align.data.pairs.pairwise import label_ids
from align.methods.crome.config import CromeConfig
from align.training.output_head import read_output_head


def add_pairwise_head(model: PreTrainedModel, labels: tuple[int, int]) -> None:
    """Has a causal language model return `(N, 1)` logits, as a reward model does; what is saved stays what it was."""
    first, second = labels
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


@contextmanager
def as_pairwise(given: dict[str, Any]) -> Iterator[None]:
    """Turns the model among a trainer's arguments into a pairwise one, and loads what is only named."""
    config: CromeConfig = given["args"]
    used = config.model_init_kwargs
    init: dict[str, Any] = dict(used or {})  # type: ignore[arg-type]
    try:
        if is_named := isinstance(given["model"], str):
            given["model"] = _load(given["model"], init, config, given.pop("quantization_config", None))
            config.model_init_kwargs = None
        model = given["model"]
        if given.get("processing_class") is None:
            given["processing_class"] = AutoTokenizer.from_pretrained(
                get_config_model_id(model.config),
                revision=init.get("revision") if is_named else None,
                trust_remote_code=config.trust_remote_code,
            )
        model.config.num_labels = 1  # what TRL asks of a reward model
        model.config.truealign_pairwise = True
        add_pairwise_head(model, label_ids(given["processing_class"]))
        yield
    finally:
        config.model_init_kwargs = used


def _load(name: str, init: dict[str, Any], config: CromeConfig, quantization: Any) -> Any:
    """Loads a causal language model as TRL loads a reward model."""
    if quantization is not None:
        if "quantization_config" in init:
            raise ValueError(
                "`quantization_config` is given to the trainer and in `model_init_kwargs`. Leave out one of them."
            )
        init["quantization_config"] = quantization
    if config.distributed_state.distributed_type in ("MULTI_GPU", "DEEPSPEED"):
        init["device_map"] = None
    init.setdefault("trust_remote_code", config.trust_remote_code)
    return create_model_from_path(name, AutoModelForCausalLM, **init)  # type: ignore[arg-type]

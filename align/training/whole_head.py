"""The output head of a model that FSDP2 shards, for losses that read its weights and do not call it."""

from typing import Any

from accelerate.utils import is_peft_model
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from align.training.token_terms import Head


class WholeHead(TrainerCallback):
    """Assembles the output head at the start of each pass through a model that FSDP2 shards.

    Fused heads read its weights and do not call it. accelerate 1.15 shards it together with the last norm, which is
    called, where that stands directly in the body; in models that see it does not. TRL 1.16 then assembles the weights
    itself, and each process gets the gradients of its own rows only.
    """

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Finds the head, which is sharded by now."""
        base = model.get_base_model() if is_peft_model(model) else model
        head = base.get_output_embeddings() if isinstance(model, FSDPModule) else None
        if isinstance(head, FSDPModule):
            model.register_forward_pre_hook(lambda *_: head.unshard() and None)  # behind that of FSDP


def whole_head(head: Head) -> Head:
    """Assembles the weights of a head that FSDP2 has sharded, on all processes; no gradient flows to them.

    Inside of its model's forward they are whole.
    """
    return head._replace(weight=_whole(head.weight), bias=_whole(head.bias))


def _whole(weight: Any) -> Any:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight

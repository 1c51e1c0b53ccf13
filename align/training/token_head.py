"""Lets a causal language model return the token terms of RRPO in place of logits."""

import types
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from torch import Tensor
from transformers import PreTrainedModel
from transformers.utils import ModelOutput
from trl.trainer.utils import maybe_gather_lm_head_ctx

from align.training.output_head import Reading, read_output_head
from align.training.token_terms import Head, token_terms


@dataclass
class TokenTermsOutput(ModelOutput):
    """`TokenTerms` as an output that DeepSpeed and accelerate know how to walk through; `(N,)` each."""

    logps: Tensor | None = None
    ref_logps: Tensor | None = None
    kl: Tensor | None = None
    entropy: Tensor | None = None
    mean_logit: Tensor | None = None
    is_top: Tensor | None = None
    aux_loss: Tensor | None = None  # of mixture-of-experts models, where `output_router_logits` asks for it


class Tokens(NamedTuple):
    """The tokens that are scored: `mask` `(B, T - 1)` is true where the next one counts, `labels` `(N,)` are those."""

    mask: Tensor
    labels: Tensor


class Reference:
    """Hidden states and head of the reference at the scored tokens; an object, so that no wrapper copies its parts."""

    def __init__(self, hidden: Tensor, head: Head) -> None:
        self.hidden = hidden
        self.head = head


def add_token_head(model: PreTrainedModel) -> Reading:
    """Patches a model's forward, as TRL's fused head does, so that wrappers such as DDP and DeepSpeed see the call.

    `model(..., scored=tokens)` returns what the output head is given of these tokens, `(N, H)`; `model(...,
    scored=tokens, reference=reference)` returns `TokenTermsOutput`. Without `scored` nothing changes. Returns how the
    model's logits are read.
    """
    original, reading = model.forward, read_output_head(model)

    def forward(
        self: PreTrainedModel,
        *args: Any,
        scored: Tokens | None = None,
        reference: Reference | None = None,
        **kwargs: Any,
    ) -> Any:
        if scored is None:
            return original(*args, **kwargs)
        kwargs.pop("labels", None)  # a PEFT model passes it on as None
        outputs = self.base_model(*args, **kwargs)
        hidden = outputs.last_hidden_state
        hidden = hidden[:, -scored.mask.size(1) - 1 : -1][scored.mask]  # prompt learning puts virtual tokens in front
        hidden = reading.prepare(self, hidden)
        if reference is None:
            return hidden
        own, gather = reading.head(self), maybe_gather_lm_head_ctx
        terms = token_terms(hidden, own, reference.hidden, reference.head, scored.labels, gather=gather)
        return TokenTermsOutput(**terms._asdict(), aux_loss=_aux_loss(self, outputs, kwargs))

    model.forward = types.MethodType(forward, model)
    return reading


def _aux_loss(model: PreTrainedModel, outputs: Any, kwargs: dict[str, Any]) -> Tensor | None:
    """Computes the load-balancing loss as TRL's fused head does, over all tokens that are no padding."""
    if not kwargs.get("output_router_logits"):
        return None
    # Mixtral's is the one that every family of mixtures takes over.
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    # Families name the number of experts in their configs each in its own way, and a row of logits has one for each.
    num_experts, per_token = outputs.router_logits[0].size(-1), model.config.get_text_config().num_experts_per_tok
    found: Any = load_balancing_loss_func(outputs.router_logits, num_experts, per_token, kwargs.get("attention_mask"))
    return cast(Tensor, found)

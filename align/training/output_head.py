"""Reads how a model's family makes logits of hidden states, refuses one read wrong, and has it return token terms."""

import math
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple, cast

import torch
from accelerate.utils import is_peft_model
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel, TrainerCallback
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import ModelOutput

from align.errors import UserError
from align.training.token_terms import Head, token_terms

_SOFTCAPS = ("final_logit_softcapping", "logits_soft_cap", "output_logit_soft_cap")
_PLACES, _TOLERANCE = 3, 1e-4  # of logits up to 40
_OTHER_FAMILY = "Train a model of another family."


class LogitFormula(NamedTuple):
    """How logits come about: `softcap(scale * head(factor * transform(hidden)))`."""

    scale: float
    softcap: float | None
    factor: float = 1.0
    transform: str | None = None  # the submodule between body and head, as ModernBERT's decoder has one

    @property
    def formula(self) -> str:
        """Writes the reading out."""
        given = "hidden" if self.transform is None else f"{self.transform}(hidden)"
        given = given if self.factor == 1.0 else f"{self.factor:g} * {given}"
        logits = f"head({given})" if self.scale == 1.0 else f"{self.scale:g} * head({given})"
        return logits if self.softcap is None else f"{logits}, capped at {self.softcap:g}"

    def prepare(self, model: PreTrainedModel, hidden: Tensor) -> Tensor:
        """Turns last hidden states into what the output head is given."""
        if self.transform is not None:
            hidden = model.get_submodule(self.transform)(hidden)
        return hidden if self.factor == 1.0 else hidden * self.factor

    def finish(self, logits: Tensor) -> Tensor:
        """Turns what the output head answers into logits."""
        logits = logits * self.scale
        return logits if self.softcap is None else self.softcap * torch.tanh(logits / self.softcap)

    def head(self, model: PreTrainedModel) -> Head:
        """Reads the output head as its weights are now."""
        head = model.get_output_embeddings()
        return Head(head.weight, head.bias, self.scale, self.softcap)


def read_output_head(model: PreTrainedModel) -> LogitFormula:
    """Finds out what a model does between its last hidden states and its logits.

    The model's own `forward` is run with stand-ins for its body and for its output head, which answer with known
    numbers. What it makes of these is compared with each reading. No weight is used: sharded and absent weights are
    read alike on all ranks, in any precision, and neither random numbers nor modes change.
    """
    try:
        given, factor, transform, made = _probe(model, model.get_output_embeddings())
    except Exception as error:  # any code of a model may run here
        raise _unreadable(model, f"{type(error).__name__}: {error}") from error
    config = model.config.get_text_config()
    caps = [float(cap) for name in _SOFTCAPS if (cap := getattr(config, name, None))]
    for scale, softcap in product(dict.fromkeys((_logit_scale(config), 1.0)), dict.fromkeys((*caps, None))):
        reading = LogitFormula(scale, softcap, factor, transform)
        expected = reading.finish(given)
        if made.shape == expected.shape and torch.allclose(made, expected, atol=_TOLERANCE, rtol=_TOLERANCE):
            return reading
    raise _unreadable(model, "what it does to logits behind its output head is not known")


def check_fused_head(model: Any, remedy: str = _OTHER_FAMILY) -> None:
    """Refuses a model whose log-probs TRL's own fused head reads wrong; GRPO and DPO train with these."""
    base = model.get_base_model() if is_peft_model(model) else model
    reading, config = read_output_head(base), base.config.get_text_config()
    if reading.factor != 1.0 and base.get_output_embeddings().bias is None:  # before the head or behind it is the same
        reading = reading._replace(scale=reading.scale * reading.factor, factor=1.0)
    known = LogitFormula(_logit_scale(config), getattr(config, "final_logit_softcapping", None))
    if not math.isclose(reading.scale, known.scale, rel_tol=1e-5) or reading[1:] != known[1:]:
        raise _unreadable(base, f"TRL does not know that they are {reading.formula}", remedy)


def _unreadable(model: PreTrainedModel, why: str, remedy: str = _OTHER_FAMILY) -> UserError:
    return UserError(
        f"The log-probs of {type(model).__name__} would be read wrong: they are computed from its last hidden states "
        f"and the weights of its output head, and its own logits are something else ({why}). {remedy}"
    )


def _logit_scale(config: Any) -> float:
    """Cohere multiplies by `logit_scale`, Falcon-H1 by `lm_head_multiplier`; Granite divides by `logits_scaling`."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):
        value = getattr(config, name, None)
        if isinstance(value, int | float):  # MPT has a `logit_scale`, which may be a word and is not used
            return float(value)
    scaling = getattr(config, "logits_scaling", None)
    if scaling is None:
        return 1.0
    return float(scaling if config.model_type == "hyperclovax" else 1 / scaling)


class _Hidden(BaseModelOutputWithPast):  # type: ignore[misc]
    """The answer of a body, which has None for whatever else a family asks of it."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


class _StandIn(nn.Module):
    """Stands where another module was, with its attributes; answers always the same and keeps what it was given."""

    def __init__(self, stood: nn.Module, answer: Any) -> None:
        super().__init__()
        self.__dict__.update(stood=stood, answer=answer, given=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["stood"], name)

    def forward(self, *args: Any, **_: Any) -> Any:
        """Answers."""
        self.__dict__["given"] = args[0] if args else None
        return self.__dict__["answer"]


def _probe(model: PreTrainedModel, head: Any) -> tuple[Tensor, float, str | None, Tensor]:
    """Returns what the head answered, the factor and the module in front of it, and the logits made of the answer."""
    if head is None:
        raise ValueError("it has no output head")
    if model.base_model is model:  # as of Llama4ForCausalLM, whose body has another name
        raise ValueError(f"it has no body named `{model.base_model_prefix}`")
    size, width = int(head.out_features), int(head.in_features)  # the shape of a sharded weight does not tell
    hidden: Any = (
        torch.arange(_PLACES * width).reshape(1, _PLACES, width) % 13 + 1
    ).float() / 8  # exact in half precision
    answer = torch.linspace(-40, 40, _PLACES * size, dtype=torch.float32).reshape(1, _PLACES, size)
    body = _Hidden(last_hidden_state=hidden)
    bodies = {id(model.base_model): body, id(model.get_decoder()): body}
    between = list(_outside(model, [*bodies, id(head)]))
    behind = {id(module): hidden + 2 + number for number, (_, module) in enumerate(between)}
    with _standing_in(model, bodies | behind | {id(head): answer}) as stand_ins, torch.no_grad():
        made = model.forward(input_ids=torch.ones(1, _PLACES, dtype=torch.long)).logits
    before, given = None, stand_ins[id(head)].given
    for name, module in between:
        if given is not None and torch.equal(given.float(), behind[id(module)]):
            before, given = name, stand_ins[id(module)].given
    if given is None:
        raise ValueError("the output head is not used")
    ratio = (given.float() / hidden).unique()
    if ratio.max() - ratio.min() > 1e-6 * ratio.abs().max():
        raise ValueError("its output head is not given the last hidden states")
    return answer, float(ratio[0]), before, made.float()


def _outside(model: nn.Module, known: list[int], prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Yields the outermost modules that are neither the body nor the head, nor hold one of them."""
    for name, module in model.named_children():
        if id(module) in known:
            continue
        if any(id(inner) in known for inner in module.modules()):
            yield from _outside(module, known, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", module


@contextmanager
def _standing_in(model: nn.Module, answers: dict[int, Any]) -> Iterator[dict[int, _StandIn]]:
    """Puts stand-ins in the places of modules, so that no hook of theirs runs, and puts the modules back."""
    places = [
        (parent, name, child)
        for parent in list(model.modules())
        for name, child in parent._modules.items()
        if child is not None and id(child) in answers
    ]
    stand_ins = {id(child): _StandIn(child, answers[id(child)]) for _, _, child in places}
    try:
        for parent, name, child in places:
            parent._modules[name] = stand_ins[id(child)]
        yield stand_ins
    finally:
        for parent, name, child in places:
            parent._modules[name] = child


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
    """Assembles the weights of a head that FSDP2 has sharded, on all processes and without gradient."""
    return head._replace(weight=_whole(head.weight), bias=_whole(head.bias))


def _whole(weight: Any) -> Any:
    return weight.full_tensor() if isinstance(weight, DTensor) else weight


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


def add_token_head(model: PreTrainedModel) -> LogitFormula:
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
        from trl.trainer.utils import maybe_gather_lm_head_ctx  # a watched trainer may be none of TRL's

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

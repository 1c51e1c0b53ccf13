"""Log-probs and KL of single tokens from hidden states, in chunks: `(N, V)` logits of either model never exist."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_ELEMENTS = 2**23  # logits in a chunk: 32 MiB in fp32; smaller chunks read the head's weight too often


class Head(NamedTuple):
    """An output head: logits are `softcap(scale * (weight @ hidden + bias))`."""

    weight: Tensor  # (V, H)
    bias: Tensor | None = None  # (V,)
    scale: float = 1.0
    softcap: float | None = None  # logits become softcap * tanh(logits / softcap), as in Gemma 2


class TokenTerms(NamedTuple):
    """What RRPO needs of each token, `(N,)` each, in nats."""

    logps: Tensor
    ref_logps: Tensor  # no gradient
    kl: Tensor  # KL(reference || policy) over the full vocabulary
    entropy: Tensor  # this and what follows is of the policy, is logged, and has no gradient
    mean_logit: Tensor
    is_top: Tensor  # 1 where no logit is above that of the label, else 0


Gather = Callable[..., AbstractContextManager[Any]]


def token_terms(
    hidden: Tensor,
    head: Head,
    ref_hidden: Tensor,
    ref_head: Head,
    labels: Tensor,
    *,
    gather: Gather = lambda *_: nullcontext(),
    chunk_elements: int = CHUNK_ELEMENTS,
) -> TokenTerms:
    """Computes the log-prob of each label `(N,)` under policy and reference, and the KL between them, in nats.

    Both models' last hidden states, `(N, H)` and `(N, H_ref)`, are projected chunk by chunk, forward and again in
    backward. Softmax and sums are in fp32. Gradients flow to `hidden` and to the policy's head; in backward, tokens
    without any gradient are skipped. `gather` is called with the heads' weights and biases around every use of them,
    where ZeRO-3 assembles them; `chunk_elements` counts the logits in a chunk, of one model.
    """
    device = hidden.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
    settings = _Settings(head.scale, head.softcap, ref_head.scale, ref_head.softcap, gather, chunk_elements, dtype)
    with torch.autocast(device, enabled=False):  # it would round the logits
        terms = _TokenTerms.apply(
            hidden, head.weight, head.bias, ref_hidden, ref_head.weight, ref_head.bias, labels, settings
        )
    return TokenTerms(*terms)


class _Settings(NamedTuple):
    scale: float
    softcap: float | None
    ref_scale: float
    ref_softcap: float | None
    gather: Gather
    chunk_elements: int
    dtype: torch.dtype  # of the matrix products

    def chunks(self, num_tokens: int, vocabulary: int) -> list[slice]:
        rows = max(1, self.chunk_elements // vocabulary)
        return [slice(start, start + rows) for start in range(0, num_tokens, rows)]

    def logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _logits(hidden.to(self.dtype), weight.to(self.dtype), bias, self.scale, self.softcap)

    def ref_logits(self, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return _logits(hidden.to(self.dtype), weight.to(self.dtype), bias, self.ref_scale, self.ref_softcap)


class _TokenTerms(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        ref_hidden: Tensor,
        ref_weight: Tensor,
        ref_bias: Tensor | None,
        labels: Tensor,
        settings: _Settings,
    ) -> tuple[Tensor, ...]:
        logps, ref_logps, kl, entropy, mean_logit, is_top, log_z, ref_log_z = hidden.new_empty(
            8, len(labels), dtype=_float(hidden)
        )
        with settings.gather(weight, bias, ref_weight, ref_bias):
            for rows in settings.chunks(len(labels), len(weight)):
                logits = settings.logits(hidden[rows], weight, bias)
                ref_logits = settings.ref_logits(ref_hidden[rows], ref_weight, ref_bias)
                log_z[rows], ref_log_z[rows] = logits.logsumexp(-1), ref_logits.logsumexp(-1)
                label = labels[rows, None]
                logps[rows] = logits.gather(-1, label)[:, 0] - log_z[rows]
                mean_logit[rows], is_top[rows] = logits.mean(-1), (logits.argmax(-1) == labels[rows]).to(is_top.dtype)
                probs = logits.sub(log_z[rows, None]).exp_()
                entropy[rows] = log_z[rows] - torch.linalg.vecdot(probs, logits)
                del probs
                ref_logps[rows] = ref_logits.gather(-1, label)[:, 0] - ref_log_z[rows]
                gap = torch.sub(ref_logits, logits, out=logits)
                ref_probs = ref_logits.sub_(ref_log_z[rows, None]).exp_()
                kl[rows] = torch.linalg.vecdot(ref_probs, gap) - ref_log_z[rows] + log_z[rows]
        ctx.save_for_backward(
            hidden, weight, bias, ref_hidden, ref_weight, ref_bias, labels, log_z.clone(), ref_log_z.clone()
        )
        ctx.settings = settings
        ctx.mark_non_differentiable(ref_logps, entropy, mean_logit, is_top)
        return logps, ref_logps, kl, entropy, mean_logit, is_top

    @staticmethod
    def backward(ctx: Any, grad_logps: Tensor, _: Any, grad_kl: Tensor, *of_logged: Any) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        hidden, weight, bias, ref_hidden, ref_weight, ref_bias, labels, log_z, ref_log_z = ctx.saved_tensors
        settings: _Settings = ctx.settings
        active = ((grad_logps != 0) | (grad_kl != 0)).nonzero()[:, 0]
        with settings.gather(weight, bias, ref_weight, ref_bias):  # before it, a sharded weight is empty
            grad_hidden, grad_weight, grad_bias = (
                torch.zeros_like(value, dtype=_float(value)) if needed else None
                for value, needed in zip((hidden, weight, bias), ctx.needs_input_grad, strict=False)
            )
            for chunk in settings.chunks(len(active), len(weight)):
                rows = active[chunk]
                logits = settings.logits(hidden[rows], weight, bias)
                slope = _slope(logits, settings.scale, settings.softcap)
                # d logp / d logits = onehot - p, d KL / d logits = p - p_ref
                of_logps, of_kl = grad_logps[rows, None], grad_kl[rows, None]
                grad = logits.sub_(log_z[rows, None]).exp_().mul_(of_kl - of_logps)
                if of_kl.any():
                    ref_logits = settings.ref_logits(ref_hidden[rows], ref_weight, ref_bias)
                    grad -= ref_logits.sub_(ref_log_z[rows, None]).exp_().mul_(of_kl)
                grad.scatter_add_(-1, labels[rows, None], of_logps)
                if slope is not None:
                    grad *= slope
                product = grad.to(settings.dtype)
                if grad_hidden is not None:
                    grad_hidden[rows] = _matmul(product, weight.to(settings.dtype))
                if grad_weight is not None:
                    _addmm(grad_weight, product.t(), hidden[rows].to(settings.dtype))
                if grad_bias is not None:
                    grad_bias += grad.sum(0)
        grads = zip((grad_hidden, grad_weight, grad_bias), (hidden, weight, bias), strict=True)
        return (*(None if grad is None else grad.to(value.dtype) for grad, value in grads), *(None,) * 5)


def _float(tensor: Tensor) -> torch.dtype:
    """At least fp32; fp64 stays for gradcheck."""
    return torch.promote_types(tensor.dtype, torch.float32)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    logits = _matmul(hidden, weight.t())
    if bias is not None:
        logits += bias
    if scale != 1.0:
        logits *= scale
    if softcap is not None:
        logits = logits.div_(softcap).tanh_().mul_(softcap)
    return logits


def _slope(logits: Tensor, scale: float, softcap: float | None) -> Tensor | float | None:
    """The derivative of the logits by the product of weight and hidden state."""
    if softcap is None:
        return None if scale == 1.0 else scale
    return (1 - (logits / softcap) ** 2) * scale


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """Multiplies without rounding the result to half precision: logits of 20 would be off by 0.06."""
    if a.is_cuda and a.dtype in (torch.float16, torch.bfloat16):
        return torch.mm(a, b, out_dtype=torch.float32)
    return a.to(_float(a)) @ b.to(_float(b))


def _addmm(total: Tensor, a: Tensor, b: Tensor) -> None:
    if a.is_cuda and a.dtype in (torch.float16, torch.bfloat16):
        torch.addmm(total, a, b, out_dtype=torch.float32, out=total)
    else:
        total.addmm_(a.to(total.dtype), b.to(total.dtype))

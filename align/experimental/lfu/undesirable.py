"""The undesirable step: what it moves, and how that is taken back to the last bit."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from align.experimental.lfu.loss import ascent_scale

Reduce = Callable[[Tensor], Tensor]


class WeightStep:
    """Moves the trained weights in place; outside `made` they are what they were, to the last bit.

    In place, since with gradient checkpointing the backward pass computes the forward pass again and must find the
    moved weights: swapping them in for the forward pass alone gives wrong gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._pairs: list[tuple[Tensor, Tensor]] = []  # each weight, and what stands for it in the other state

    @torch.no_grad()
    def aim(self, alpha: float, mean: Reduce) -> Tensor:
        """Plans a step of length `alpha` from the gradient of the SFT loss, and returns the length that it really has.

        Weights in 16 bits may round the move away, which the length shows.
        """
        trained = [weight for weight in self._model.parameters() if weight.grad is not None]
        gradients: list[Any] = [weight.grad for weight in trained]
        scale = ascent_scale(gradients, alpha=alpha)
        self._pairs = [
            (weight, (weight.float() + scale.to(weight.device) * gradient.float()).to(weight.dtype))
            for weight, gradient in zip(trained, gradients, strict=True)
        ]
        lengths = [torch.linalg.vector_norm(moved.float() - weight.float()) for weight, moved in self._pairs]
        return torch.linalg.vector_norm(torch.stack(lengths))

    @contextmanager
    def made(self) -> Iterator[None]:
        """Has the weights moved inside, whatever happens there."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def forget(self) -> None:
        """Frees the moved weights."""
        self._pairs = []

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, other in self._pairs:
            held = weight.clone()
            weight.copy_(other)
            other.copy_(held)


class AuxiliaryLoRA:
    """Moves a term `B A` beside every linear layer of the backbone, which is 0 outside `made`; no weight is touched.

    A is drawn once and has orthonormal rows, so that |B| is the length of the move of the weights. The gradient for B
    comes with that of the SFT loss, to which B = 0 adds nothing. `seed`, of A, is the same on every process and after
    a resumption.
    """

    def __init__(self, backbone: nn.Module, rank: int, seed: int) -> None:
        self._is_made = False
        self._steps: list[Tensor] = []
        self._down: list[Tensor] = []
        self._up: list[Tensor] = []
        generator = torch.Generator().manual_seed(seed)
        for name, module in backbone.named_modules():
            if isinstance(module, nn.Linear) and "lora_" not in name:
                basis = torch.linalg.qr(torch.randn(module.in_features, rank, generator=generator))[0]
                device = module.weight.device
                self._down.append(basis.T.contiguous().to(device))
                self._up.append(
                    torch.zeros(module.out_features, len(basis.T), device=device, requires_grad=True)  # B
                )
                module.register_forward_hook(self._hook(len(self._up) - 1))
        if not self._up:
            raise ValueError(
                "`lfu_mode: aux_lora` stands beside linear layers, and this model has none. Use `params`."
            )

    def aim(self, alpha: float, mean: Reduce) -> Tensor:
        """Plans B and forgets its gradient."""
        gradients = [torch.zeros_like(up) if up.grad is None else mean(up.grad) for up in self._up]
        scale = ascent_scale(gradients, alpha=alpha)
        self._steps = [scale * gradient for gradient in gradients]
        for up in self._up:
            up.grad = None
        return torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(step) for step in self._steps]))

    @contextmanager
    def made(self) -> Iterator[None]:
        """Has B beside the layers inside, whatever happens there."""
        self._is_made = True
        try:
            yield
        finally:
            self._is_made = False

    def forget(self) -> None:
        """Frees the plan."""
        self._steps = []

    def _hook(self, place: int) -> Callable[..., Tensor | None]:
        def add(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not self._is_made and not (module.training and torch.is_grad_enabled()):
                return None
            up = self._steps[place] if self._is_made else self._up[place]
            read = inputs[0] @ self._down[place].to(inputs[0].dtype).T
            return output + (read @ up.to(read.dtype).T).to(output.dtype)

        return add

"""SFT that also learns from the undesirable (LfU, arXiv 2511.13052): the step, and how it is taken back whole."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch
from accelerate.logging import get_logger
from accelerate.utils import DistributedType, is_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from align.experimental.lfu.config import LfUConfig
from align.experimental.lfu.loss import ascent_scale, consistency_sum
from align.experimental.lfu.rules import (
    NO_DEEPSPEED,
    NO_FSDP,
    NO_PROMPT_LEARNING,
    NOT_REACHED,
    ROUNDED_AWAY,
    chosen_layers,
)
from align.methods.sft import trainer as sft
from align.methods.sft.trainer import CountedSFTTrainer

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
        """Plans a step of length `alpha` along the gradient; returns its real length, which 16 bits may round away."""
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


logger = get_logger(__name__)
Batch = dict[str, Any]
_NOT_OF_THE_BACKBONE = ("labels", "use_cache", "output_router_logits", "num_items_in_batch")


class LfUTrainer(CountedSFTTrainer):
    """An SFT trainer whose hidden states should not change under a step that makes its loss worse.

    Differs from `SFTTrainer` in what follows the last backward pass of a step: the gradient of the SFT loss, which is
    there by then, says where a step of ascent leads, and each batch of the step is read before and after that step.
    Data, SFT loss, its gradient, optimizer and checkpoints are TRL's; with `lfu_coef` or `lfu_alpha` 0 so is the step.

    The step of ascent is that of the whole batch, over accumulation and processes, so that it does not depend on how
    the batch is split. The logged `loss` is the sum of both losses; that of evaluations is the SFT loss.
    """

    _tag_names = ["trl", "sft", "lfu"]  # noqa: RUF012 - TRL declares it so
    _name = "LfU"
    _paper = {  # noqa: RUF012
        "title": "Learning from the Undesirable: Robust Adaptation of Language Models without Forgetting",
        "id": "2511.13052",
    }
    _config = LfUConfig
    args: LfUConfig
    model: PreTrainedModel

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args.is_sft:
            return
        self._check_launch()
        self._is_watched = True  # until a step says whether anything that is compared is moved
        self._batches: list[Batch] = []  # of the step that is being made
        self._layers = chosen_layers(self.args.lfu_layers, self.model.config.get_text_config().num_hidden_layers)
        self._undesirable: WeightStep | AuxiliaryLoRA = WeightStep(self.model)
        if self.args.lfu_mode == "aux_lora":
            self._undesirable = AuxiliaryLoRA(self._backbone(), self.args.lfu_rank, self.args.seed)

    def _check_launch(self) -> None:
        refused = {DistributedType.DEEPSPEED: NO_DEEPSPEED, DistributedType.FSDP: NO_FSDP}
        if sentence := refused.get(self.accelerator.distributed_type):
            raise ValueError(sentence)
        if self.accelerator.parallelism_config is not None:
            raise ValueError("`lfu_coef` above 0 needs whole rows and weights on every process. Launch with DDP.")
        adapter: Any = self.model.active_peft_config if is_peft_model(self.model) else None
        if adapter is not None and adapter.is_prompt_learning:
            raise ValueError(NO_PROMPT_LEARNING.format(kind=type(adapter).__name__))

    def training_step(self, model: Any, inputs: Batch, num_items_in_batch: Any = None) -> Tensor:
        """Makes TRL's step, and after the last one before an update adds LfU's gradient to what is there."""
        if self.args.is_sft:
            return super().training_step(model, inputs, num_items_in_batch)
        inputs = self._prepare_inputs(inputs)
        self._batches.append(dict(inputs))
        loss: Tensor = super().training_step(model, inputs, num_items_in_batch)
        if not self.accelerator.sync_gradients:
            return loss
        batches, self._batches = self._batches, []
        with self.maybe_activation_offload_context:
            return loss + self._learn_from_undesirable(batches)

    def _learn_from_undesirable(self, batches: list[Batch]) -> Tensor:
        """Adds the gradient of lambda L_cons to that of the SFT loss; returns this process's part of lambda L_cons."""
        processes = self.accelerator.num_processes
        tokens = sum(((batch["labels"] != -100).sum() for batch in batches), torch.tensor(0)).to(self.args.device)
        total = self.accelerator.reduce(tokens, "sum").clamp(min=1)
        length = self._undesirable.aim(self.args.lfu_alpha, lambda tensor: self.accelerator.reduce(tensor, "mean"))
        part = torch.zeros((), device=self.args.device)
        for batch in batches:
            mask = batch["labels"] != -100
            with torch.no_grad(), self._same_noise(), self.accelerator.autocast():
                clean = self._hidden_states(batch)
            with self._undesirable.made():
                with self._same_noise(), self.accelerator.autocast():
                    moved = self._hidden_states(batch)
                distance = consistency_sum(clean, moved, mask) * processes / total  # processes are averaged
                if reached := distance.requires_grad:  # by something that is trained; with checkpointing always said
                    self.accelerator.backward(self.args.lfu_coef * distance)
            part += distance.detach()
        self._undesirable.forget()
        if processes > 1:  # DDP has averaged the SFT loss's part, which is the same everywhere and stays so
            for weight in self.model.parameters():
                if weight.grad is not None:
                    weight.grad.copy_(self.accelerator.reduce(weight.grad, "mean"))
        metrics = self._metrics["train"]
        metrics["lfu/consistency"].append(self.accelerator.reduce(part, "mean").item())
        metrics["lfu/step_length"].append(length.item())
        if self._is_watched and (length > 0 or not self.args.fp16):  # whose first scales are too large for a step
            self._is_watched = False
            if metrics["lfu/consistency"][-1] == 0 or not reached:
                logger.warning(NOT_REACHED if length > 0 else ROUNDED_AWAY)
        return self.args.lfu_coef * part

    def _hidden_states(self, batch: Batch) -> list[Tensor]:
        """Reads a batch without the output head, whose logits nothing needs: `(B, T, H)` after each chosen layer."""
        inputs = {name: value for name, value in batch.items() if name not in _NOT_OF_THE_BACKBONE}
        outputs = self._backbone()(**inputs, output_hidden_states=True, use_cache=False)
        return [outputs.hidden_states[1 + layer] for layer in self._layers]  # the first are the embeddings

    def _backbone(self) -> Any:
        model: Any = self.accelerator.unwrap_model(self.model)
        return (model.get_base_model() if is_peft_model(model) else model).base_model

    def _same_noise(self) -> AbstractContextManager[None]:
        """Draws dropout alike before and after the step, and leaves the random numbers of training as they were."""
        device = self.args.device
        return torch.random.fork_rng([device] if device.type == "cuda" else [])


build = partial(sft.build, trainer=LfUTrainer)

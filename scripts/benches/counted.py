"""What a piece of work costs on any machine: floating-point operations, tokens read, and bytes of live tensors."""

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop


@dataclass
class Cost:
    """What was counted; `floor_flops` and `floor_tokens` are what could not be avoided, where that is known."""

    flops: int = 0
    tokens: int = 0  # that the model read, padding included
    peak_bytes: int = 0  # of tensors that were made, at once
    floor_flops: int = 0
    floor_tokens: int = 0

    def add(self, flops: int, tokens: int, peak_bytes: int) -> None:
        """Adds a part of the work."""
        self.flops, self.tokens = self.flops + flops, self.tokens + tokens
        self.peak_bytes = max(self.peak_bytes, peak_bytes)


@contextmanager
def counting(model: nn.Module, cost: Cost) -> Iterator[None]:
    """Counts what happens inside the block; slow, so nothing should be timed there."""
    read: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda _, given, __: read.append(given[0].numel()))
    aten = torch.ops.aten
    kernels = {  # torch 2.13 knows the attention of accelerators only, and no product that names the type of its sum
        aten._scaled_dot_product_flash_attention_for_cpu: _sdpa,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _sdpa_backward,
        aten.addmm: _addmm,
    }
    with LiveBytes() as live, FlopCounterMode(display=False, custom_mapping=kernels) as counter:
        yield
    hook.remove()
    cost.add(counter.get_total_flops(), sum(read), live.peak)


def cost_of(model: nn.Module, work: Callable[[], object], device: str = "cpu") -> Cost:
    """Counts a piece of work; on a GPU it is done once more, and the peak is that of the allocator."""
    cost = Cost()
    with counting(model, cost):
        work()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        cost.peak_bytes = torch.cuda.max_memory_allocated() - before
    return cost


def _sdpa(query: Any, key: Any, value: Any, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    return int(sdpa_flop(query, key, value))


def _sdpa_backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))


def _addmm(total: Any, one: Any, other: Any, *args: Any, **kwargs: Any) -> int:
    return int(2 * one[0] * one[1] * other[1])


class LiveBytes(TorchDispatchMode):
    """Follows the storages that operations make, without those that were there; `peak` is the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._live: dict[int, Any] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Runs an operation and looks at what it returns."""
        given = {
            each.untyped_storage()._cdata for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)
        }
        result = function(*args, **kwargs or {})
        for each in tree_leaves(result):
            if isinstance(each, torch.Tensor) and each.untyped_storage()._cdata not in given:
                self._follow(each.untyped_storage())
        return result

    def _follow(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._live:
            return

        def forget(_: Any) -> None:
            self._now -= size
            self._live.pop(key, None)

        self._live[key] = weakref.ref(storage, forget)
        self._now += size
        self.peak = max(self.peak, self._now)


def least(model: nn.Module, sequences: Sequence[Sequence[int]], owners: Sequence[str]) -> tuple[int, int]:
    """Returns the operations and tokens that reading sequences takes at least, of a decoder of linear layers.

    What all sequences begin with is read once, and behind it every token of an owner's sequences, whatever these have
    in common. A token looks at what stands before it and at itself, and only what follows a sequence is projected to
    the vocabulary, if the model has a head for it.
    """
    head_length = next((i for i, same in enumerate(zip(*sequences, strict=False)) if len(set(same)) > 1), None)
    if head_length is None:  # one goes on from all others
        head_length = min(map(len, sequences))
    places: dict[tuple[Any, int], int] = {}
    depths: list[int] = []
    last = set()
    for sequence, owner in zip(sequences, owners, strict=True):
        place: Any = None
        for depth, token in enumerate(sequence):
            key = ((place, owner) if depth == head_length else place, token)
            if key not in places:
                places[key] = len(depths)
                depths.append(depth)
            place = places[key]
        last.add(place)
    head: Any = model.get_output_embeddings()
    layers = [each for each in model.modules() if isinstance(each, nn.Linear) and each is not head]
    config: Any = model.config
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    per_pair = 4 * config.num_hidden_layers * config.num_attention_heads * width
    per_token = 2 * sum(layer.weight.numel() for layer in layers)
    projected = 0 if head is None else 2 * head.weight.numel() * len(last)
    return per_token * len(depths) + per_pair * sum(depth + 1 for depth in depths) + projected, len(depths)

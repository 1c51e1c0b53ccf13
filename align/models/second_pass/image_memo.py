"""What a model makes of a set of images, computed once while the images stay the same."""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.tensor import DTensor

# The public names that transformers gives to vision tower and projection.
METHODS = ("get_image_features", "get_video_features")


@contextmanager
def remembered_images(model: nn.Module) -> Iterator[None]:
    """Lets the vision tower rest inside the block when it is asked for the images it was last asked for.

    The features of one set of images are held, so rows that share images should follow each other. Weights must not
    change inside the block, and no gradient may be needed. A model without such methods is left as it is. So
    is a sharded one: its ranks gather weights together, so each has to run every module as often as the others.
    """
    modules = [] if is_sharded(model) else list(model.modules())
    owners = [(each, name) for each in modules for name in METHODS if hasattr(type(each), name)]
    for module, name in owners:
        setattr(module, name, _remember_last(getattr(module, name)))
    try:
        yield
    finally:
        for module, name in owners:
            delattr(module, name)  # uncovers the method of the class


def is_sharded(model: nn.Module) -> bool:
    """Tells whether each rank holds a part of the weights only (ZeRO-3, FSDP, FSDP2)."""
    if any(isinstance(module, FullyShardedDataParallel) for module in model.modules()):
        return True
    return any(hasattr(weight, "ds_id") or isinstance(weight, DTensor) for weight in model.parameters())


def _remember_last(compute: Callable[..., Any]) -> Callable[..., Any]:
    last: list[Any] = []

    @functools.wraps(compute)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        given = [*args, *sorted(kwargs.items())]
        if not (last and _same(last[0], given)):
            last[:] = given, compute(*args, **kwargs)
        return last[1]

    return remembered


def _same(left: Any, right: Any) -> bool:
    if left is right:
        return True
    if isinstance(left, Tensor) and isinstance(right, Tensor):
        return left.dtype == right.dtype and left.device == right.device and torch.equal(left, right)
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(_same, left, right))
    return type(left) is type(right) and not isinstance(left, Tensor) and bool(left == right)

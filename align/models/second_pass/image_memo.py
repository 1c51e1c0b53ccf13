"""What a model makes of images, computed once: of those that stay the same, and of those of a batch that are alike."""

import functools
import inspect
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


@contextmanager
def distinct_images(model: nn.Module) -> Iterator[None]:
    """Has the vision tower read each distinct image of a batch once inside the block, with its gradient."""
    method, before = getattr(model, METHODS[0], None), vars(model).get(METHODS[0])
    if method is not None:
        setattr(model, METHODS[0], _each_once(method))
    try:
        yield
    finally:
        vars(model).pop(METHODS[0], None)  # uncovers the method of the class
        vars(model).update({METHODS[0]: before} if before else {})


def _each_once(compute: Callable[..., Any]) -> Callable[..., Any]:
    names = list(inspect.signature(compute).parameters)

    @functools.wraps(compute)
    def once(*args: Any, **kwargs: Any) -> Any:
        given = dict(zip(names, args, strict=False)) | kwargs
        pixels, grid = given["pixel_values"], given.get("image_grid_thw")
        parts = list(pixels.split(grid.prod(-1).tolist()) if grid is not None else pixels)
        if grid is None and (pixels.ndim < 4 or (pixels.ndim > 4 and _has_padding(pixels))):
            return compute(**given)
        seen: dict[Any, int] = {}
        codes = [(tuple(part.shape), int(exact_sums(part.reshape(1, -1)))) for part in parts]
        which = [seen.setdefault(code, len(seen)) for code in codes]
        first = torch.tensor([which.index(each) for each in range(len(seen))], device=pixels.device)
        if len(seen) == len(parts):
            return compute(**given)
        own = {
            name: value[first]
            for name, value in given.items()
            if isinstance(value, Tensor) and value.ndim and len(value) == len(parts)
        }
        own["pixel_values"] = pixels[first] if grid is None else torch.cat([parts[each] for each in first.tolist()])
        found = compute(**given | own)
        made = found.pooler_output
        if isinstance(made, Tensor):
            made = made.unflatten(0, (len(seen), -1))[which].flatten(0, 1)
        else:
            layers, sizes = getattr(found, "deepstack_features", None) or (), [len(each) for each in made]
            split = [each.split(sizes) if isinstance(each, Tensor) else each for each in layers]  # as from 5.19 on
            pairs = [(each, [images[i] for i in which]) for each, images in zip(layers, split, strict=True)]
            found.deepstack_features = [torch.cat(own) if isinstance(each, Tensor) else own for each, own in pairs]
            made = [made[each] for each in which]
        found.pooler_output = made
        return found

    return once


def _has_padding(pixels: Tensor) -> bool:
    """Tells whether rows of images, `(B, N, C, H, W)`, have fewer than `N`; their features would be unlike many."""
    return not bool((pixels.flatten(2) != 0).any(-1).all())


def exact_sums(values: Tensor) -> Tensor:
    """Sums up the bits of each row of `(N, D)` numbers, weighted and as integers: rows that are equal have one sum."""
    kinds = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    bits = values.contiguous().view(kinds[values.element_size()]).long()
    place = torch.arange(1, values.shape[1] + 1, device=values.device)
    return (bits * (place * 0x9E3779B97F4A7C1 ^ (place << 31))).sum(1)

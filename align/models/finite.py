"""Weights that are NaN or infinite: a model that has one answers nothing, and neither torch nor TRL says so."""

from collections.abc import Iterable, Iterator
from typing import Any

from align.errors import UserError
from align.models.model_files import ADAPTER_WEIGHTS, ModelFiles, weight_files


def spoiled(source: str, weights: Iterable[tuple[str, Any]], called: str = "model") -> str:
    """Words that weights are not finite, of one that is sharded the part that is here; empty if all are.

    Each is read once, by its least and greatest value (13 GB/s on a core); those of float8, which have no such order,
    as bfloat16. Packed integers and float4 know neither NaN nor infinity.
    """
    found = {name: _is_finite(weight) for name, weight in weights}
    if all(found.values()):
        return ""
    bad = [name for name, is_finite in found.items() if not is_finite]
    return (
        f"The {called} {source} cannot be used: {len(bad)} of its {len(found)} weights hold NaN or infinity, such as "
        f"{bad[0]}. Take a checkpoint from before its training went wrong; if it is loaded in float16, where large "
        "weights have no room, another `dtype`."
    )


def refuse_spoiled(source: str, weights: Iterable[tuple[str, Any]], called: str = "model") -> None:
    """Refuses a model or adapter whose weights are not all finite."""
    if problem := spoiled(source, weights, called):
        raise UserError(problem)


def stored_weights(source: str) -> Iterator[tuple[str, Any]]:
    """Reads the weights in a model's files here one by one, for what loads them out of sight."""
    from safetensors.torch import safe_open

    folder = ModelFiles(source).folder
    for file in [] if folder is None else {*weight_files(folder), *folder.glob(ADAPTER_WEIGHTS)}:
        with safe_open(file, framework="pt") as tensors:
            yield from ((name, tensors.get_tensor(name)) for name in tensors.keys())  # noqa: SIM118 - no dict


def _is_finite(weight: Any) -> bool:
    import torch

    held = _own_part(weight) if hasattr(weight, "ds_tensor") else weight
    held = (held.to_local() if hasattr(held, "to_local") else held).detach()  # of FSDP2
    if held.is_meta or not held.numel() or not held.is_floating_point() or "float4" in str(held.dtype):
        return True
    return bool(torch.stack((held.bfloat16() if held.element_size() == 1 else held).aminmax()).isfinite().all())


def _own_part(weight: Any) -> Any:
    """Cuts the part of a weight that ZeRO-3 leaves here to what is the weight's; parts are filled up to one size."""
    from torch.distributed import get_rank

    part = weight.ds_tensor
    begin = get_rank(weight.ds_process_group) * part.numel()
    return part[: max(weight.ds_numel - begin, 0)]

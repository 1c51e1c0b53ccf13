"""Rotary positions that depend on the longest row of a batch: which rows may be read together."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

_KINDS = {"longrope": "longrope", "su": "longrope", "dynamic": "dynamic"}  # by the names that configurations give


class ByLength(NamedTuple):
    """Positions that are other ones in a longer row."""

    kind: str  # `longrope`, which has two kinds of positions, or `dynamic`, which has others for every length
    tokens: int  # up to how many the positions are the same for all rows


def positions_by_length(config: Mapping[str, Any]) -> ByLength | None:
    """Finds positions that depend on the length; None where a configuration has others.

    Example:
        >>> positions_by_length({"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 2048})
        ByLength(kind='dynamic', tokens=2048)
        >>> positions_by_length({"rope_parameters": {"rope_type": "default"}})
    """
    given = config.get("rope_parameters") or config.get("rope_scaling")
    if not isinstance(given, Mapping):
        return None
    window, original, found = config.get("max_position_embeddings"), "original_max_position_embeddings", []
    for each in [given, *(value for value in given.values() if isinstance(value, Mapping))]:  # by kind of layer
        kind = _KINDS.get(str(each.get("rope_type") or each.get("type")))
        tokens = (each.get(original) or config.get(original) or window) if kind == "longrope" else window
        if kind and isinstance(tokens, int):
            found.append(ByLength(kind, tokens))
    return min(found, default=None)  # dynamic is the stricter


def length_free(model: Any) -> bool:
    """Tells whether a model of transformers has the same positions in batches of any length."""
    return positions_by_length(model.config.get_text_config().to_dict()) is None


def read_together(model: Any, *, growth: int = 0) -> Callable[[int], int]:
    """Returns what names the rows that may be read in one batch, if `growth` tokens are written behind each."""
    by_length = positions_by_length(model.config.get_text_config().to_dict())
    if by_length is None:
        return lambda length: 0

    def name(length: int) -> int:
        if length + growth <= by_length.tokens:
            return 0
        return -1 if by_length.kind == "longrope" and length > by_length.tokens else length

    return name


def forget_lengths(model: Any) -> None:
    """Makes dynamic positions those of a first row: transformers keeps those of the longest row so far."""
    import torch

    for module in model.modules():
        if hasattr(module, "original_max_seq_len") and "dynamic" in str(getattr(module, "rope_type", "")):
            kinds = module.rope_type if isinstance(module.rope_type, Mapping) else {None: module.rope_type}
            place = torch.zeros(1, 1, dtype=torch.long, device=model.device)
            for kind, rope_type in kinds.items():
                if "dynamic" in rope_type:
                    module.forward(place.float(), place, **({} if kind is None else {"layer_type": kind}))

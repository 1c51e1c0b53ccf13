"""Which layers LfU compares."""

from collections.abc import Sequence


def chosen_layers(layers: Sequence[int] | None, number: int) -> list[int]:
    """Returns the layers to compare, from 0; all where none are named.

    Args:
        layers: As in a recipe: from 0, or from -1 for the last.
        number: Layers of the model.

    Raises:
        ValueError: If the model has no such layer, or one is named twice.

    Example:
        >>> chosen_layers([0, -1], 4)
        [0, 3]
    """
    if layers is None:
        return list(range(number))
    for layer in layers:
        if not -number <= layer < number:
            raise ValueError(f"`lfu_layers` names layer {layer}, and the model has layers 0 to {number - 1}.")
    chosen = [layer % number for layer in layers]
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"`lfu_layers` names a layer twice: {list(layers)}. Name each once.")
    return chosen

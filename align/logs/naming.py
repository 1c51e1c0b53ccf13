"""Names of models, runs and logs, by as much of their paths as tells them apart."""

from collections.abc import Sequence
from pathlib import Path

from align.errors import UserError


def names_apart(noun: str, paths: Sequence[str | Path], given: Sequence[str] = ()) -> list[str]:
    """Names paths as it is `given`, else by their last parts, as far up as it takes; refuses one that is there twice.

    Example:
        >>> names_apart("model", ["runs/x/checkpoint-10", "runs/y/checkpoint-10"])
        ['x/checkpoint-10', 'y/checkpoint-10']
    """
    whole = [Path(path).expanduser().resolve() for path in paths]
    if twice := next((path for path, each in zip(paths, whole, strict=True) if whole.count(each) > 1), None):
        raise UserError(f"The same {noun} is given twice: {twice}. Name each {noun} once.")
    names: list[str] = []
    for depth in range(1, max(len(each.parts) for each in whole) + 1):
        names = ["/".join(each.parts[-depth:]) for each in whole]
        names = [own or name for own, name in zip(given, names, strict=True)] if given else names
        if len(set(names)) == len(names):
            break
    return names

"""Paths of images and videos in rows that are written to another folder than the one they were read from."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any


def move_paths(row: Mapping[str, Any], columns: Collection[str], old: Path, new: Path) -> dict[str, Any]:
    """Writes what was found from one folder as it is found from another one; other values stay as they are.

    Args:
        row: Its columns.
        columns: Those that may hold paths: one, a list of them, or a block with a `path`.
        old: What paths are relative to.
        new: What they are to be relative to.

    Example:
        >>> move_paths({"image": ".", "id": "."}, ["image"], Path("/usr/lib"), Path("/usr/share"))
        {'image': '../lib', 'id': '.'}
    """
    old, new = old.resolve(), new.resolve()
    if old == new:
        return dict(row)
    return {name: _moved(value, old, new) if name in columns else value for name, value in row.items()}


def _moved(value: Any, old: Path, new: Path) -> Any:
    if isinstance(value, list | tuple):
        return [_moved(each, old, new) for each in value]
    if isinstance(value, Mapping) and value.get("bytes") is None and "path" in value:
        return {**value, "path": _moved(value["path"], old, new)}
    if not isinstance(value, str) or value.startswith("~") or os.path.isabs(value):
        return value
    found = old / value
    return os.path.relpath(found, new) if os.path.exists(found) else value

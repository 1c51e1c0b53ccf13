"""The rows that the numbers of an evaluation came from."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from align.errors import RunFolderError


def read_items(
    path: Path, columns: Sequence[str] | None = None, ids: Sequence[str] | None = None, needs: Sequence[str] = ()
) -> list[Any]:
    """Reads rows of a parquet table, all or those of some items; no rows if there is no such file.

    Args:
        path: The table.
        columns: Which to read, of those that it has; all if not given.
        ids: Items whose rows are read; all if not given.
        needs: Columns that it must have, beside `id` and `model`.

    Raises:
        RunFolderError: If the file is no table, or that of another evaluation.
    """
    import pyarrow.parquet as parquet

    if not path.exists():
        return []
    try:
        present = set(parquet.read_schema(path).names)
        lacks = next((name for name in ("id", "model", *needs) if name not in present), None)
        if lacks is not None:
            raise RunFolderError(
                f"{path} has no column {lacks!r}: it is of another evaluation than the numbers beside it. Evaluate "
                "again into a new folder."
            )
        wanted = [name for name in columns if name in present] if columns else None
        chosen = [("id", "in", list(ids))] if ids is not None else None
        rows: list[Any] = parquet.read_table(path, columns=wanted, filters=chosen).to_pylist()
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} is not a readable parquet table: {error}") from None
    return rows


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Reads JSON lines; none if there is no such file.

    Raises:
        RunFolderError: If a line is not JSON; the message names it.
    """
    rows: list[dict[str, Any]] = []
    if not path.exists():
        return rows
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise RunFolderError(f"{path}, line {number}: not JSON ({error.msg}).") from None
    return rows

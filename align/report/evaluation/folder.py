"""What `align eval` left behind: numbers as JSON, and the rows they came from."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from align.errors import RunFolderError
from align.evaluation.statistics.metrics import Estimate
from align.report.run.folder import read_object

EVALUATION_FILE = "evaluation.json"
_FORMAT = 1


@dataclass(frozen=True)
class EvaluationFolder:
    """An evaluation, read once; its rows are read when they are asked for.

    Attributes:
        path: The folder.
        record: The content of `evaluation.json`.
    """

    path: Path
    record: dict[str, Any]

    @property
    def is_of_policies(self) -> bool:
        """Whether policies were evaluated, and not reward models."""
        return self.record.get("kind") == "policy"


def read_evaluation_folder(path: Path) -> EvaluationFolder:
    """Reads `evaluation.json`.

    Raises:
        RunFolderError: If the file is missing, broken, or something else than an evaluation of this version.
    """
    record = read_object(path / EVALUATION_FILE)
    file = path / EVALUATION_FILE
    if record.get("kind") == "policy":
        if record.get("format") != _FORMAT:
            raise RunFolderError(
                f"{file} has `format` {record.get('format')!r}, this version reads {_FORMAT}. Evaluate again; answers "
                "that are in the folder's cache are not asked for again."
            )
    elif not record or not all(isinstance(entry, Mapping) and "summary" in entry for entry in record.values()):
        raise RunFolderError(f"{file} must hold a `summary` for each model, as `align eval` writes it.")
    return EvaluationFolder(path, record)


def read_items(path: Path, columns: Sequence[str] | None = None, ids: Sequence[str] | None = None) -> list[Any]:
    """Reads rows of a parquet table, all or those of some items; no rows if there is no such file.

    Raises:
        RunFolderError: If the file is no table.
    """
    import pyarrow.parquet as parquet

    if not path.exists():
        return []
    try:
        present = set(parquet.read_schema(path).names)
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


def to_estimate(cell: Any) -> Estimate | None:
    """Reads an estimate from `{"value", "low", "high", "n"}` or `[value, low, high, n, unit]`; None where undefined.

    Raises:
        RunFolderError: If it is neither.
    """
    if isinstance(cell, Mapping) and {"value", "low", "high", "n"} <= set(cell):
        cell = [cell["value"], cell["low"], cell["high"], cell["n"]]
    if not isinstance(cell, list | tuple) or len(cell) not in (4, 5):
        raise RunFolderError(f"An estimate in {EVALUATION_FILE} must have value, low, high and n, got {cell!r}.")
    if cell[0] is None:
        return None
    value, low, high = (math.nan if number is None else float(number) for number in cell[:3])
    return None if math.isnan(value) else Estimate(value, low, high, *cell[3:])

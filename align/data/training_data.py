"""What a trainer needs of a data set, whatever its rows are about."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from align.data.problems import DataReport
from align.recipe.dataset import DatasetConfig

Item = TypeVar("Item")
Rows = list[dict[str, Any]]


class TrainingData(NamedTuple, Generic[Item]):
    """Rows for a trainer, and what they were made from.

    Attributes:
        items: The rows of the training file as they were read: questions, pairs, prompts, texts with outcomes.
        report: Of the training file.
        rows: For training, without those that training leaves out.
        eval_rows: For evaluation.
        fingerprints: SHA-256 of each local file.
        extra: What else the trainer of the method needs.
        eval_report: Of the evaluation file, None without.
        eval_items: The rows of that file as they were read.
    """

    items: list[Item]
    report: DataReport
    rows: Rows
    eval_rows: Rows
    fingerprints: dict[str, str]
    extra: Any = None
    eval_report: DataReport | None = None
    eval_items: Sequence[Item] = ()


def load_training_data(
    data: DatasetConfig,
    read: Callable[[str, str | None, int | None], tuple[list[Item], DataReport]],
    to_rows: Callable[[list[Item]], Rows],
    *,
    to_eval_rows: Callable[[list[Item]], Rows] | None = None,
    extra: Any = None,
) -> TrainingData[Item]:
    """Reads the rows of both files of a data set.

    Args:
        data: Names the files.
        read: Reads `(path, split, max_rows)`.
        to_rows: Makes rows for the trainer.
        to_eval_rows: Makes those for evaluation, where they differ.
        extra: As in `TrainingData`.

    Raises:
        DataError: If the data cannot be read, or has rows that cannot be used and should not be skipped.
    """
    items, report = read(data.path, data.split, data.max_rows)
    held_out: list[Item] = []
    eval_report = None
    if data.eval_path is not None:
        held_out, eval_report = read(data.eval_path, data.eval_split, data.max_eval_rows)
    eval_rows = (to_eval_rows or to_rows)(held_out)
    return TrainingData(items, report, to_rows(items), eval_rows, fingerprints(data), extra, eval_report, held_out)


def fingerprints(data: DatasetConfig) -> dict[str, str]:
    """Computes the SHA-256 of each local file of a data set, by file name."""
    files = [Path(path) for path in (data.path, data.eval_path) if path is not None and Path(path).is_file()]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

"""Rows of a streamed data set: what becomes of them is counted as they are read, and said at the end."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from datasets import IterableDataset
from torch.utils.data import get_worker_info
from transformers import TrainerCallback

from align.console import say
from align.data.streaming import PROBLEM, check_no_passes
from align.errors import DataError

SHOWN = 10  # bad rows that are told one by one
_WORKERS = 64
_READ, _BAD, _KEPT, _AGAIN = range(4)


class StreamCount:
    """Counts the rows of a stream in whichever process they are read, and tells the bad ones with their number.

    Each row counts once: those of a second pass are the same. `lost` says what rows that were not used are, such as
    "are longer than `max_length`".
    """

    def __init__(self, name: str, lost: str) -> None:
        self.name, self._lost = name, lost
        # A row for each worker of a data loader, so that none waits for another; the memory is shared with them.
        self._counts = torch.zeros(_WORKERS, 4, dtype=torch.long).share_memory_()
        self._told: dict[int, str] = {}

    def reset(self) -> None:
        """Begins anew, as a pass over the stream does."""
        self._counts.zero_()

    @property
    def read(self) -> int:
        """Rows that were read."""
        return int(self._counts[:, _READ].sum())

    @property
    def bad(self) -> int:
        """Rows that could not be used."""
        return int(self._counts[:, _BAD].sum())

    @property
    def kept(self) -> int:
        """Rows that were handed to the trainer."""
        return int(self._counts[:, _KEPT].sum())

    def _note(self, what: int) -> None:
        counts = self._counts[_place()]
        counts[what] += 1 - counts[_AGAIN]

    def change(self, change: Callable[..., dict[str, Any]], row: Mapping[str, Any], index: int) -> dict[str, Any]:
        """Counts a row by its place in the stream, and changes it; `is_usable` says whether that could be done."""
        counts = self._counts[_place()]
        if index == 0 and counts[_READ]:
            counts[_AGAIN] = 1
        self._note(_READ)
        try:
            if row.get(PROBLEM):
                raise DataError(row[PROBLEM])
            return change(row, index) | {"is_usable": True}
        except DataError as error:
            self._refuse(index, error)
            return {"is_usable": False}

    def keep(self, column: str | None, row: Mapping[str, Any]) -> bool:
        """Counts a row that is handed to the trainer: one of which a column is true, or any."""
        is_kept = column is None or bool(row[column])
        if is_kept:
            self._note(_KEPT)
        return is_kept

    def _refuse(self, index: int, error: DataError) -> None:
        """Counts a row that cannot be used, and tells it the first time that it is seen."""
        self._note(_BAD)
        if index not in self._told and len(self._told) < SHOWN:
            self._told[index] = str(error)
            say(f"{error} The row is left out.")

    def sentence(self) -> str | None:
        """Says how many rows were left out and why; None if none was."""
        lost = self.read - self.bad - self.kept
        found = [f"{count} {why}" for count, why in ((self.bad, "cannot be used"), (lost, self._lost)) if count > 0]
        if not found:
            return None
        return f"Of {self.read} rows of the {self.name} dataset that were read, {' and '.join(found)}: left out."

    def check_some(self, stream: IterableDataset, rule: str) -> None:
        """Reads up to the first row of a stream, and begins anew."""
        if next(iter(stream), None) is None:
            first = next(iter(self._told.values()), "")
            raise DataError(f"{rule} {self.sentence() or 'It has no rows.'} {first}".strip())
        self.reset()


class StreamCounts(TrainerCallback):
    """The counts of a trainer's streams, in `num_left_out`: each begins with a pass, and is told at its end."""

    def __init__(self, num_left_out: dict[str, int]) -> None:
        self._num_left_out = num_left_out
        self._counts: dict[str, StreamCount] = {}

    def begin(self, name: str, lost: str) -> StreamCount:
        """Makes the count of a stream; see `StreamCount`."""
        self._counts[name] = StreamCount(name, lost)
        return self._counts[name]

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Counts anew what an evaluation reads, and says at its end how many rows were left out."""
        counts = [count for name, count in self._counts.items() if name != "train"]
        for count in counts:
            count.reset()
        yield
        for name, count in self._counts.items():
            if name != "train" and count.read:
                self._tell(count)

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Forgets the rows that were looked at before."""
        if "train" in self._counts:
            self._counts["train"].reset()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Says how many rows were left out."""
        if "train" in self._counts:
            self._tell(self._counts["train"])

    def _tell(self, count: StreamCount) -> None:
        self._num_left_out[count.name] = count.read - count.kept
        if sentence := count.sentence():
            say(sentence)


def usable_rows(stream: IterableDataset, change: Callable[..., dict[str, Any]], count: StreamCount) -> IterableDataset:
    """Changes every row, counts it, and leaves out those of which `change(row, index)` raises a `DataError`."""
    changed = stream.map(partial(count.change, change), with_indices=True)
    return changed.filter(bool, input_columns="is_usable").remove_columns("is_usable")


def kept_rows(stream: IterableDataset, count: StreamCount, column: str | None = None) -> IterableDataset:
    """Counts rows that the trainer gets: those of which a column is true, or all."""
    return stream.filter(partial(count.keep, column))


def endless(dataset: Any, args: Any) -> Any:
    """Lets a data set for training begin anew where it ends, if it is a stream.

    transformers 5.17 takes all steps of a run on a stream for one pass: a run that goes on from a later one would skip
    all rows of the first, and then read from the first row again.
    """
    if not isinstance(dataset, IterableDataset):
        return dataset
    check_no_passes(args)
    return dataset.repeat(None)


def _place() -> int:
    worker = get_worker_info()
    return 0 if worker is None else worker.id % (_WORKERS - 1) + 1

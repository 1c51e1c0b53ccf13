"""Items of a large data set, kept in a memory-mapped Arrow file in place of the memory."""

import os
import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from align.data.reading_progress import ReadingProgress
from align.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

IN_MEMORY = 20_000  # items that are kept as they are; below, a file costs more than it saves
BATCH = 1_000  # items that are read at once
REST = "rest"  # the column of what is no text, number or list of texts

T = TypeVar("T")


class ItemKeeper(Generic[T]):
    """Takes items up, dataclasses of one kind: a list of them, and from `IN_MEMORY` on a file."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._writer: _Writer | None = None
        self._progress = ReadingProgress()

    def add(self, item: T) -> None:
        """Takes one up."""
        self._items.append(item)
        if self._writer is None and len(self._items) > IN_MEMORY:
            self._writer = _Writer(self._items[0])
        if self._writer is not None and len(self._items) >= BATCH:
            self._flush(self._writer)

    def items(self) -> Sequence[T]:
        """Returns the items; nothing can be added then."""
        if self._writer is None:
            return self._items
        if self._items:
            self._writer.write(self._items)
        return self._writer.read()

    def __enter__(self) -> "ItemKeeper[T]":
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.forget()

    def _flush(self, writer: "_Writer") -> None:
        while len(self._items) >= BATCH:
            writer.write(self._items[:BATCH])
            self._items = self._items[BATCH:]
            self._progress.advance(BATCH)


class StoredItems(Sequence[T]):
    """A sequence of items that stand in a file, which is gone with it; a slice is a list."""

    def __init__(self, layout: "_Layout", batches: "Sequence[pa.RecordBatch]") -> None:
        self._layout, self._batches = layout, batches
        self._length = sum(len(batch) for batch in batches)
        self._read: tuple[int, list[T]] = (-1, [])

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for batch in self._batches:
            yield from self._layout.read(batch)

    def values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields some fields of each item; of texts, numbers and lists of texts only these are read."""
        for batch in self._batches:
            yield from self._layout.read_values(batch, names)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(f"There are {self._length} items, got the index {index}.")
        number, place = divmod(index % self._length, BATCH)
        if self._read[0] != number:
            self._read = number, self._layout.read(self._batches[number])
        return self._read[1][place]


class Picked(Sequence[T]):
    """Some of a sequence, in its order, by their places."""

    def __init__(self, items: Sequence[T], places: Sequence[int]) -> None:
        self._items, self._places = items, array("q", places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return (self._items[place] for place in self._places)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice):
            return [self._items[place] for place in self._places[index]]
        return self._items[self._places[index]]


def values_of(items: Iterable[Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """Yields some fields of each item."""
    if isinstance(items, StoredItems):
        return items.values(names)
    return (tuple(getattr(item, name) for name in names) for item in items)


def pick(items: Sequence[T], places: Sequence[int]) -> list[T]:
    """Returns the items at some places, in the order of the places; a file is read from its beginning to its end."""
    found = {place: items[place] for place in sorted(places)}
    return [found[place] for place in places]


class _Layout:
    """How items of one kind become columns: texts, numbers and lists of texts; the rest of an item is pickled.

    What of the rest is as in the first item is not written, so that most items have none.
    """

    def __init__(self, first: Any) -> None:
        self.kind = type(first)
        hints = get_type_hints(self.kind)
        self._fields = [name for name in vars(first) if name in hints]
        self._flat = {name: flat for name in self._fields if (flat := _flat_type(hints[name]))}
        self._first = {name: getattr(first, name) for name in self._fields}
        # A field may hold a text, or messages, which are then of the rest.
        self._may_be_text = [name for name, flat in self._flat.items() if flat == "text"]
        self._others = [name for name in self._fields if name not in self._flat]

    def write(self, items: Sequence[Any]) -> "pa.RecordBatch":
        """Writes items as a batch."""
        import pyarrow as pa

        types = {
            "text": pa.large_string(), "number": pa.int64(), "texts": pa.list_(pa.large_string()),
        }  # fmt: skip
        values = [vars(item) for item in items]
        columns: dict[str, Any] = {}
        for name, flat in self._flat.items():
            column = [each[name] for each in values]
            if name in self._may_be_text:
                column = [each if type(each) is str else None for each in column]
            columns[name] = pa.array(column, types[flat])
        columns[REST] = pa.array([self._rest(each) for each in values], pa.large_binary())
        return pa.RecordBatch.from_pydict(columns)

    def read(self, batch: "pa.RecordBatch") -> list[Any]:
        """Makes the items of a batch again."""
        columns = [self._read_column(batch.column(name), flat) for name, flat in self._flat.items()]
        names, others = list(self._flat), {name: self._first[name] for name in self._others}
        rests, items = batch.column(REST).to_pylist(), []
        for rest, *values in zip(rests, *columns, strict=True):
            item = object.__new__(self.kind)
            item.__dict__.update(others)
            item.__dict__.update(zip(names, values, strict=True))
            if rest is not None:
                item.__dict__.update(pickle.loads(rest))  # that this process wrote
            items.append(item)
        return items

    def read_values(self, batch: "pa.RecordBatch", names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields some fields of the items of a batch."""
        if all(name in self._flat for name in names) and batch.column(REST).null_count == len(batch):
            return zip(*(self._read_column(batch.column(name), self._flat[name]) for name in names), strict=True)
        return (tuple(getattr(item, name) for name in names) for item in self.read(batch))

    def _rest(self, values: dict[str, Any]) -> bytes | None:
        first = self._first
        rest = {
            name: values[name]
            for name in self._others
            if values[name] is not first[name] and values[name] != first[name]
        }
        for name in self._may_be_text:
            if type(values[name]) is not str and values[name] is not None:
                rest[name] = values[name]
        return pickle.dumps(rest, pickle.HIGHEST_PROTOCOL) if rest else None

    def _read_column(self, column: "pa.Array", flat: str) -> list[Any]:
        if flat != "texts":
            values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
            return values
        texts = column.flatten().to_numpy(zero_copy_only=False).tolist()
        ends = [0, *column.value_lengths().to_numpy(zero_copy_only=False).cumsum().tolist()]
        return [tuple(texts[start:end]) for start, end in pairwise(ends)]


class _Writer:
    """Writes batches to a file of its own."""

    def __init__(self, first: Any) -> None:
        import pyarrow as pa

        handle, path = tempfile.mkstemp(suffix=".arrow", prefix="truealign-rows-")
        os.close(handle)
        self._path, self._layout = Path(path), _Layout(first)
        self._sink = pa.OSFile(path, "wb")
        self._file: Any = None

    def write(self, items: Sequence[Any]) -> None:
        """Writes a batch."""
        import pyarrow as pa

        batch = self._layout.write(items)
        with self._room():
            self._file = self._file or pa.ipc.new_file(self._sink, batch.schema)
            self._file.write_batch(batch)

    def read(self) -> StoredItems[Any]:
        """Closes the file, maps it, and takes its name away, so that it ends with the process."""
        import pyarrow as pa

        with self._room():
            self._file.close()
            self._sink.close()
        reader = pa.ipc.open_file(pa.memory_map(str(self._path)))
        batches = [reader.get_batch(number) for number in range(reader.num_record_batches)]
        return StoredItems(self._layout, batches)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"The rows do not fit into a file in {self._path.parent}: {error}. Free space there, or set `TMPDIR` "
                "to a folder with more."
            ) from error

    def forget(self) -> None:
        """Takes the name of the file away."""
        with suppress(OSError):  # where a file that is mapped keeps its name
            self._path.unlink(missing_ok=True)


def _flat_type(hint: Any) -> str | None:
    """Tells which column holds values of a type; None for the rest."""
    if hint is int:
        return "number"
    if hint == tuple[str, ...]:
        return "texts"
    is_union = get_origin(hint) in (UnionType, Union)
    return "text" if hint is str or (is_union and str in get_args(hint)) else None

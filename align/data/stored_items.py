"""Items of a large data set, kept in a memory-mapped Arrow file in place of the memory, and the rows made of them."""

import hashlib
import os
import pickle
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate, pairwise
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

from align.data.many_cores import map_in_order
from align.data.reading_progress import ReadingProgress
from align.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


REST = "rest"  # the column of what is no text, number or list of texts


class Layout:
    """How items become columns of texts, numbers and lists of texts; what else differs from the first is pickled."""

    def __init__(self, first: Any) -> None:
        self.kind = type(first)
        hints = get_type_hints(self.kind)
        self._fields = [name for name in vars(first) if name in hints]
        self._flat = {name: flat for name in self._fields if (flat := _flat_type(hints[name]))}
        self._first = {name: getattr(first, name) for name in self._fields}
        # A field may hold a text, or messages, which are then of the rest.
        self._may_be_text = [name for name, flat in self._flat.items() if flat == "text"]
        self._others = [name for name in self._fields if name not in self._flat]

    def describe(self) -> bytes:
        """Writes down what a batch does not say: the kind of the items, and what is as in the first of them."""
        others = {name: self._first[name] for name in self._others}
        return pickle.dumps((self.kind, self._flat, others), pickle.HIGHEST_PROTOCOL)

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
            return column.to_numpy(zero_copy_only=False).tolist()
        texts = column.flatten().to_numpy(zero_copy_only=False).tolist()
        ends = [0, *column.value_lengths().to_numpy(zero_copy_only=False).cumsum().tolist()]
        return [tuple(texts[start:end]) for start, end in pairwise(ends)]


def _flat_type(hint: Any) -> str | None:
    """Tells which column holds values of a type; None for the rest."""
    if hint is int:
        return "number"
    if hint == tuple[str, ...]:
        return "texts"
    is_union = get_origin(hint) in (UnionType, Union)
    return "text" if hint is str or (is_union and str in get_args(hint)) else None


IN_MEMORY = 20_000  # items that are kept as they are; below, a file costs more than it saves
BATCH = 1_000  # items that are read at once
PART = 10  # batches that are worked on at once

T = TypeVar("T")
R = TypeVar("R")


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
            self._flush(self._writer, least=BATCH)

    @property
    def in_file(self) -> bool:
        """Whether there were enough for a file, and how they stand in it is known."""
        return self._writer is not None

    def pack(self, items: Sequence[T]) -> "list[pa.RecordBatch]":
        """Makes items ready for the file, also in a copy of this process."""
        assert self._writer is not None
        return self._writer.pack(items)

    def add_packed(self, batches: "Sequence[pa.RecordBatch]", without: set[int]) -> None:
        """Takes items up that were made ready, but for some, numbered from 0 over all batches."""
        import pyarrow as pa

        assert self._writer is not None
        self._flush(self._writer, least=1)
        start = 0
        for batch in batches:
            places = range(start, start + len(batch))
            kept = batch.filter(pa.array([place not in without for place in places])) if without else batch
            start = places.stop
            if len(kept):
                self._writer.write(kept)
                self._progress.advance(len(kept))

    def items(self) -> Sequence[T]:
        """Returns the items; nothing can be added then."""
        if self._writer is None:
            return self._items
        self._flush(self._writer, least=1)
        return self._writer.read()

    def __enter__(self) -> "ItemKeeper[T]":
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
        if self._writer is not None:
            self._writer.forget()

    def _flush(self, writer: "_Writer", least: int) -> None:
        """Writes what there is, in batches with at least so many."""
        while len(self._items) >= least:
            some, self._items = self._items[:BATCH], self._items[BATCH:]
            for batch in writer.pack(some):
                writer.write(batch)
            self._progress.advance(len(some))


class StoredItems(Sequence[T]):
    """A sequence of items that stand in a file, which is gone with it; a slice is a list."""

    def __init__(self, layout: Layout, batches: "Sequence[pa.RecordBatch]") -> None:
        self._layout, self._batches = layout, batches
        self._starts = list(accumulate(map(len, batches), initial=0))
        self._length = self._starts.pop()
        self._read: tuple[int, list[T]] = (-1, [])
        self._next = 0  # behind the item that was asked for last

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        for batch in self._batches:
            yield from self._layout.read(batch)

    def values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields some fields of each item; of texts, numbers and lists of texts only these are read."""
        for batch in self._batches:
            yield from self._layout.read_values(batch, names)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._length))]
        if not -self._length <= index < self._length:
            raise IndexError(f"There are {self._length} items, got the index {index}.")
        place = index % self._length
        number = bisect_right(self._starts, place) - 1
        inside, goes_on, self._next = place - self._starts[number], place == self._next, place + 1
        if self._read[0] != number:
            if not goes_on:  # here and there: one is read sooner than all around it
                return self._layout.read(self._batches[number].slice(inside, 1))[0]
            self._read = number, self._layout.read(self._batches[number])
        return self._read[1][inside]

    def digest(self) -> str:
        """Names the content, so that another process knows whether it has read the same."""
        digest = hashlib.sha256(self._layout.describe())
        for batch in self._batches:
            digest.update(batch.serialize())
        return digest.hexdigest()

    def parts(self) -> "list[StoredItems[T]]":
        """Divides them into sequences of some batches, none of which is read."""
        taken = range(0, len(self._batches), PART)
        return [StoredItems(self._layout, self._batches[start : start + PART]) for start in taken]


class Picked(Sequence[T]):
    """Some of a sequence, in its order, by their places."""

    def __init__(self, items: Sequence[T], places: Sequence[int]) -> None:
        self._items, self._places = items, array("q", places)

    def digest(self) -> str | None:
        """Names the content; None where the sequence that they are from cannot."""
        whole = content_digest(self._items)
        return whole and hashlib.sha256(whole.encode() + self._places.tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[T]:
        return (self._items[place] for place in self._places)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self._items[place] for place in self._places[index]]
        return self._items[self._places[index]]


def values_of(items: Iterable[Any], *names: str) -> Iterator[tuple[Any, ...]]:
    """Yields some fields of each item."""
    if isinstance(items, StoredItems):
        return items.values(names)
    return (tuple(getattr(item, name) for name in names) for item in items)


def map_parts(work: Callable[[Sequence[T]], R], items: Sequence[T]) -> Iterator[R]:
    """Applies a function to parts of items, in their order: to all at once, or over the cores where they are many."""
    if not isinstance(items, StoredItems):
        yield work(items)
        return
    parts = items.parts()
    yield from map_in_order(lambda number: work(parts[number]), range(len(parts)))


def content_digest(items: Sequence[Any]) -> str | None:
    """Names the content of items that stand in a file, None of others."""
    return items.digest() if isinstance(items, StoredItems | Picked) else None


def pick(items: Sequence[T], places: Sequence[int]) -> list[T]:
    """Returns the items at some places, in the order of the places; a file is read from its beginning to its end."""
    found = {place: items[place] for place in sorted(places)}
    return [found[place] for place in places]


class _Writer:
    """Writes batches to a file of its own."""

    def __init__(self, first: Any) -> None:
        import pyarrow as pa

        handle, path = tempfile.mkstemp(suffix=".arrow", prefix="truealign-rows-")
        os.close(handle)
        self._path, self._layout = Path(path), Layout(first)
        self._sink = pa.OSFile(path, "wb")
        self._file: Any = None

    def pack(self, items: Sequence[Any]) -> "list[pa.RecordBatch]":
        return [self._layout.write(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]

    def write(self, batch: "pa.RecordBatch") -> None:
        import pyarrow as pa

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
        with suppress(OSError):  # where a file that is mapped keeps its name
            self._path.unlink(missing_ok=True)


class MadeRows(Sequence[dict[str, Any]]):
    """Rows that are made of items when they are read, without images; `sizes` tells about how long prompts are."""

    def __init__(
        self,
        items: Sequence[T],
        make: Callable[[T], dict[str, Any]],
        sizes: Callable[[Sequence[T]], list[int]] | None = None,
    ) -> None:
        self.items, self.make, self._sizes = items, make, sizes

    def prompt_sizes(self) -> list[int]:
        """Returns about how many characters each prompt has, so that the longest can be found."""
        if self._sizes is not None:
            return self._sizes(self.items)
        return [len(str(row["prompt"])) for row in self]

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(self.make, self.items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self.make(item) for item in self.items[index]]
        return self.make(self.items[index])

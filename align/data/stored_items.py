"""Items of a large data set, kept in a memory-mapped file in place of the memory, and the rows made of them."""

import hashlib
import pickle
import tempfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from operator import attrgetter
from typing import IO, Any, Generic, TypeVar

from align.data.many_cores import map_in_order
from align.data.reading_progress import ReadingProgress
from align.errors import DataError

IN_MEMORY = 20_000  # items that are kept as they are; below, a file costs more than it saves
BATCH = 1_000  # items that are written at once
PART = 10_000  # items that are worked on at once

T = TypeVar("T")
R = TypeVar("R")


class ItemKeeper(Generic[T], AbstractContextManager["ItemKeeper[T]"]):
    """Takes items up, dataclasses of one kind: a list of them, and from `IN_MEMORY` on a file."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._kind: type[T]
        self._names: list[str] = []
        self._file: IO[bytes] | None = None
        self._ends = array("q", [0])  # of what is packed, in bytes
        self._progress = ReadingProgress()

    def add(self, item: T) -> None:
        """Takes one up."""
        self._items.append(item)
        if len(self._items) > (IN_MEMORY if self._file is None else BATCH):
            self._flush()

    @property
    def in_file(self) -> bool:
        """Whether there were enough for a file, and how they stand in it is known."""
        return self._file is not None

    def pack(self, items: Sequence[T]) -> list[bytes]:
        """Makes items ready for the file, also in a copy of this process."""
        values = attrgetter(*self._names)
        return [pickle.dumps(values(item), pickle.HIGHEST_PROTOCOL) for item in items]

    def add_packed(self, packed: Sequence[bytes], without: set[int]) -> None:
        """Takes items up that were made ready, but for some, numbered from 0."""
        self._flush()
        self._write([each for place, each in enumerate(packed) if place not in without])

    def items(self) -> Sequence[T]:
        """Returns the items; nothing can be added then."""
        if self._file is None:
            return self._items
        self._flush()
        with _room():
            self._file.flush()
        content = mmap(self._file.fileno(), 0, access=ACCESS_READ)
        return StoredItems(self._kind, self._names, content, self._ends)

    def __exit__(self, *error: object) -> None:
        self._progress.stop()
        with suppress(OSError):  # of a disk that is full
            if self._file is not None:
                self._file.close()

    def _flush(self) -> None:
        items, self._items = self._items, []
        if self._file is None:
            self._kind, self._names = type(items[0]), list(vars(items[0]))
        self._write(self.pack(items))

    def _write(self, packed: Sequence[bytes]) -> None:
        with _room():
            self._file = self._file or tempfile.TemporaryFile(prefix="truealign-rows-")  # noqa: SIM115 - closed with it
            self._file.writelines(packed)
        for each in packed:
            self._ends.append(self._ends[-1] + len(each))
        self._progress.advance(len(packed))


@contextmanager
def _room() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"The rows do not fit into a file in {tempfile.gettempdir()}: {error}. Free space there, or set `TMPDIR` "
            "to a folder with more."
        ) from error


class StoredItems(Sequence[T]):
    """A sequence of items that stand in a file, which is gone with it; a slice is a list."""

    def __init__(self, kind: type[T], names: Sequence[str], content: mmap, ends: Sequence[int]) -> None:
        self._kind, self._names, self._content, self._ends = kind, names, content, ends

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[T]:
        return map(self._made, self._packed())

    def values(self, names: Sequence[str]) -> Iterator[tuple[Any, ...]]:
        """Yields some fields of each item."""
        places = [self._names.index(name) for name in names]
        return (tuple(values[place] for place in places) for values in map(pickle.loads, self._packed()))

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"There are {len(self)} items, got the index {index}.")
        place = index % len(self)
        return self._made(self._content[self._ends[place] : self._ends[place + 1]])

    def digest(self) -> str:
        """Names the content, so that another process knows whether it has read the same."""
        digest = hashlib.sha256(pickle.dumps((self._kind, self._names), pickle.HIGHEST_PROTOCOL))
        for packed in self._packed():
            digest.update(packed)
        return digest.hexdigest()

    def parts(self) -> "list[StoredItems[T]]":
        """Divides them into sequences of some, none of which is read."""
        parts = (self._ends[start : start + PART + 1] for start in range(0, len(self), PART))
        return [StoredItems(self._kind, self._names, self._content, ends) for ends in parts]

    def _packed(self) -> Iterator[bytes]:
        return (self._content[start:end] for start, end in pairwise(self._ends))

    def _made(self, packed: bytes) -> T:
        item = object.__new__(self._kind)
        item.__dict__.update(zip(self._names, pickle.loads(packed), strict=True))  # that this process wrote
        return item


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

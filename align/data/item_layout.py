import pickle
from collections.abc import Iterator, Sequence
from itertools import pairwise
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin, get_type_hints

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
            values: list[Any] = column.to_numpy(zero_copy_only=False).tolist()
            return values
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

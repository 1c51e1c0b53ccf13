"""Tables of many rows: kept in memory where they fit, read again where they do not."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.csv_rows import read_header
from align.data.files import RawRow, find_split, first_rows, read_batches
from align.data.loading import Schema, read_row
from align.data.problems import RowProblem, bad_rows_error
from align.data.questions.adapters import Adapter
from align.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


BATCH_ROWS = 65_536
CSV_BLOCK = 2**24  # bytes; a row must fit into one
QUOTE = b'"'
Rows = Sequence[Mapping[str, Any]]


def read_csv(file: Path) -> "Iterator[pa.RecordBatch]":
    """Reads the batches of a CSV file with a header; every value is a text, and an empty cell is missing."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    names, delimiter = read_header(file)
    reader = arrow_csv.open_csv(
        file,
        arrow_csv.ReadOptions(block_size=CSV_BLOCK),
        arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        arrow_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), null_values=[""], strings_can_be_null=True
        ),
    )
    for batch in reader:
        for start in range(0, len(batch), BATCH_ROWS):
            yield batch.slice(start, BATCH_ROWS)


def check_quotes(file: Path, max_rows: int | None = None) -> None:
    """Reads a CSV file strictly, since Arrow takes all rows from a stray quote to the next one for a single cell."""
    _, delimiter = read_header(file)
    if max_rows is None:
        with file.open("rb") as source:
            if not any(QUOTE in block for block in iter(partial(source.read, CSV_BLOCK), b"")):
                return
    with file.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        rows = filter(None, csv.reader(lines, delimiter=delimiter, strict=True))
        for _ in islice(rows, None if max_rows is None else 1 + max_rows):
            pass


def find_schema(chunks: Iterable[Rows]) -> "pa.Schema":
    """Finds the type of every column; one whose values have several is of texts, JSON for what is no text."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {}
    for rows in chunks:
        for name in dict.fromkeys(name for row in rows for name in row):
            types[name] = _merge(types.get(name), _type_of([row.get(name) for row in rows]))
    return pa.schema([(name, pa.string() if pa.types.is_null(kind) else kind) for name, kind in types.items()])


def to_batch(rows: Rows, schema: "pa.Schema") -> "pa.RecordBatch":
    """Makes a batch of rows; a column that a row lacks is missing there."""
    import pyarrow as pa

    arrays = []
    for field in schema:
        values: list[Any] = [row.get(field.name) for row in rows]
        if pa.types.is_string(field.type):
            values = [_as_text(value) for value in values]
        elif pa.types.is_floating(field.type):  # Arrow refuses whole numbers that a float holds nearly
            values = [None if value is None else float(value) for value in values]
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _type_of(values: list[Any]) -> "pa.DataType":
    import pyarrow as pa

    try:
        return pa.array(values).type  # `infer_type` looks at some of the values only
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return pa.string()


def _merge(known: "pa.DataType | None", found: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa

    if known is None or known == found:
        return found
    try:
        schemas = [pa.schema([("column", kind)]) for kind in (known, found)]
        return pa.unify_schemas(schemas, promote_options="permissive").field("column").type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.string()


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):  # missing, as in a column of numbers
        return None
    return json.dumps(value, ensure_ascii=False, default=str)


IN_MEMORY = 2**30  # bytes of a file that is kept


class TableFile:
    """A table whose batches can be read as often as asked.

    CSV and Parquet are read by Arrow; everything else that `align.data.files` knows, and every file with an adapter,
    row by row. The values of a CSV file are texts, and an empty cell is missing. With `on_bad_rows` `skip`, rows that
    cannot be read are left out and kept in `problems`; a CSV file is then read row by row, which takes longer. A file
    of at most `in_memory` bytes is read once and kept, a larger one (`is_streamed`) is read again for every pass.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        adapter: tuple[str, Adapter] | None = None,
        split: str | None = None,
        max_rows: int | None = None,
        on_bad_rows: str = "raise",
        in_memory: int = IN_MEMORY,
    ) -> None:
        self.path, self._split = find_split(str(path), split)
        self._adapter, self._max_rows, self.skips = adapter, max_rows, on_bad_rows == "skip"
        self.problems: list[RowProblem] = []
        self._file = Path(self.path).expanduser()
        self._suffix = self._file.suffix.lower() if self._file.is_file() else ""
        self.is_streamed = self._file.is_file() and self._file.stat().st_size > in_memory
        self._schema: pa.Schema | None = None
        self._places: dict[int, int] = {}
        self._kept: list[pa.RecordBatch] = []
        self._kept = list(self._read() if not self.is_streamed else islice(self._read(), 1))
        if not sum(map(len, self._kept)):
            raise DataError(f"{self.path} holds no rows. Give a table with at least one.")
        self.schema: pa.Schema = self._kept[0].schema

    @property
    def names(self) -> list[str]:
        """Returns the names of the columns."""
        return list(self.schema.names)

    @property
    def first(self) -> "pa.RecordBatch":
        """Returns the first batch, without a pass over the file."""
        return self._kept[0]

    def batches(self) -> "Iterator[pa.RecordBatch]":
        """Reads the rows from the start; all batches have one schema."""
        return self._read() if self.is_streamed else iter(self._kept)

    def place(self, record: int) -> int:
        """Returns where a row stands: line of a JSONL or CSV file, else number of the record; both from 1."""
        return self.places([record])[record]

    def places(self, records: Iterable[int]) -> dict[int, int]:
        """Returns where rows stand by their number from 0, as `place` does, in one pass over the file at most."""
        wanted = set(records)
        if self._suffix == ".parquet":
            return {record: record + 1 for record in wanted}
        if unknown := wanted - self._places.keys():
            rows = islice(self._rows([]), max(unknown) + 1)
            self._places |= {record: raw.row for record, raw in enumerate(rows) if record in unknown}
        return {record: self._places[record] for record in wanted}

    def _read(self) -> "Iterator[pa.RecordBatch]":
        left = self._max_rows
        for batch in self._formatted():
            if left is not None and left <= len(batch):
                yield batch.slice(0, left)
                return
            left = None if left is None else left - len(batch)
            yield batch

    def _formatted(self) -> "Iterator[pa.RecordBatch]":
        if self._adapter is None and self._suffix == ".parquet":
            return read_batches(self._file, BATCH_ROWS)
        if self._adapter is None and self._suffix == ".csv" and not self.skips:
            return self._read_csv()
        return self._read_by_row()

    def _read_csv(self) -> "Iterator[pa.RecordBatch]":
        import pyarrow as pa

        try:
            if not self._kept:  # once, on the first pass
                check_quotes(self._file, self._max_rows)
            yield from read_csv(self._file)
        except FileNotFoundError as error:
            raise DataError(f"There is no file {self.path}.") from error
        except (csv.Error, pa.ArrowInvalid, UnicodeDecodeError) as error:
            for _ in self._rows([]):  # finds the row and says what is wrong with it
                pass
            raise DataError(f"{self.path} cannot be read as CSV: {error}") from error

    def _read_by_row(self) -> "Iterator[pa.RecordBatch]":
        if self._schema is None:
            self._schema = find_schema(self._chunks([]))
        self.problems = []
        for chunk in self._chunks(self.problems):
            yield to_batch(chunk, self._schema)

    def _chunks(self, problems: list[RowProblem]) -> Iterator[Rows]:
        rows = self._rows(problems)
        while chunk := list(islice(rows, BATCH_ROWS)):
            yield [raw.content for raw in chunk]  # type: ignore[misc]

    def _rows(self, problems: list[RowProblem]) -> Iterator[RawRow]:
        """Reads the rows that can be read, with what the adapter adds to them; adds the others to `problems`."""
        num_read, schema = 0, Schema((), self._adapter)
        for raw in first_rows(self.path, self._split, self._max_rows):
            num_read += 1
            read = read_row(raw, self.path, lambda row, raw: {**raw.content, **row}, schema)  # type: ignore[dict-item]
            if isinstance(read, RowProblem):
                problems.append(read)
            else:
                yield raw._replace(content=read)
        if problems and not self.skips:
            raise bad_rows_error(self.path, problems, num_read)

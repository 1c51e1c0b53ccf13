"""Tables of many rows: kept in memory where they fit, read again where they do not."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from align.data.files import RawRow, find_split, first_rows
from align.data.loading import Schema, read_row
from align.data.problems import RowProblem, bad_rows_error
from align.data.questions.adapters import Adapter
from align.data.tables.arrow_batches import (
    BATCH_ROWS,
    Rows,
    check_quotes,
    find_schema,
    read_csv,
    read_parquet,
    to_batch,
)
from align.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

IN_MEMORY = 2**30  # bytes of a file that is kept


class Table:
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
        self._adapter, self._max_rows, self._skips = adapter, max_rows, on_bad_rows == "skip"
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
            return read_parquet(self._file)
        if self._adapter is None and self._suffix == ".csv" and not self._skips:
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
        if problems and not self._skips:
            raise bad_rows_error(self.path, problems, num_read)

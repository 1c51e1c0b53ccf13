"""Turns files and rows into Arrow batches of one schema."""

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from align.data.csv_rows import check_names, read_header
from align.data.problems import printable
from align.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536
CSV_BLOCK = 2**24  # bytes; a row must fit into one
QUOTE = b'"'
Rows = Sequence[Mapping[str, Any]]


def read_parquet(file: Path) -> "Iterator[pa.RecordBatch]":
    """Reads the batches of a Parquet file."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        with parquet.ParquetFile(file) as source:
            check_names(source.schema_arrow.names, file)
            for batch in source.iter_batches(BATCH_ROWS):
                batch.validate(full=True)  # texts are UTF-8, which Parquet does not check
                yield batch
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # as damaged pages and names are
        raise DataError(
            f"{file} is not a Parquet file, or is not whole: {printable(str(error)).rstrip('.')}."
        ) from error


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

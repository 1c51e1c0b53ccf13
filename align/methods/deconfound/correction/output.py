"""The folder of a correction: written whole, file by file, and never over something else."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from align.data.tables.observations import ObservationReader, Observations
from align.errors import DataError, RunFolderError
from align.methods.deconfound.correction.fitting import apply
from align.runs.room import check_writable
from align.secrets import mask
from align.whole_files import whole_file, write_whole
from rewards.correction import Correction

if TYPE_CHECKING:
    import pyarrow as pa

TABLE_FILE, CORRECTION_FILE, DIAGNOSTICS_FILE = "corrected.parquet", "correction.json", "diagnostics.json"
CARD_FILE, PAGE_FILE = "README.md", "report.html"
REWARD = "reward"


def check_new_folder(folder: Path) -> None:
    """Refuses a folder that holds something, or cannot be made."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "holds something" if folder.is_dir() else "is a file"
        raise RunFolderError(f"{folder} {what}. Choose a new folder with `--out`. Nothing was written.")
    check_writable(folder, "--out")


def write_corrected(folder: Path, reader: ObservationReader, correction: Correction) -> int:
    """Writes every complete row with all its columns and its `reward`, batch by batch; returns how many.

    Texts that stand for numbers, as in CSV, become numbers; dates stay as they are written.
    """
    import pyarrow.parquet as parquet

    if REWARD in reader.table.names:
        raise DataError(f"{reader.table.path} has a column {REWARD!r} already, which is to be written. Rename it.")
    writer, num_rows = None, 0
    with whole_file(folder / TABLE_FILE) as draft:
        try:
            for batch, rows in reader.read_with_batches():
                whole = _with_reward(batch, rows, reader.roles.outcome, correction)
                writer = writer or parquet.ParquetWriter(draft, whole.schema)
                writer.write_batch(whole)
                num_rows += len(whole)
        finally:
            if writer is not None:
                writer.close()
    return num_rows


def write_json(file: Path, content: Any) -> None:
    """Writes a JSON file."""
    text = json.dumps(mask(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_whole(file, text, errors="replace")


def write_lines(file: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Writes one JSON object per line."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_whole(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), errors="replace")


def write_card(folder: Path, correction: Correction, facts: Mapping[str, str], notes: Sequence[str]) -> None:
    """Writes README.md: what the table is, in Markdown that the hub shows."""
    environment = Environment(
        loader=PackageLoader("align.methods.deconfound.correction", ""),
        autoescape=False, trim_blocks=True, lstrip_blocks=True,
        undefined=StrictUndefined,
    )  # fmt: skip
    page = environment.get_template("card.md.j2").render(
        name=json.dumps(folder.resolve().name),
        correction=correction,
        facts=mask(facts),
        warnings=mask([*correction.warnings, *notes]),
    )
    write_whole(folder / CARD_FILE, page + "\n", errors="replace")


def _with_reward(
    batch: "pa.RecordBatch", rows: Observations, outcome: str, correction: Correction
) -> "pa.RecordBatch":
    import pyarrow as pa

    numbers = {outcome: rows.outcome} | rows.confounders | rows.instruments
    columns = {name: batch.column(name) for name in batch.schema.names}
    for name, column in columns.items():
        if pa.types.is_string(column.type) and name in numbers and name not in rows.units:
            columns[name] = pa.array(numbers[name])
    return pa.RecordBatch.from_pydict(columns | {REWARD: pa.array(apply(correction, rows))})

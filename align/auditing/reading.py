"""Reads the rows of files one by one, each as it stands there and as the audit sees it."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from align.auditing.entry import KINDS, Entry
from align.auditing.row_checks import Named, guess_kind, kind_of_adapter, named_by, source_of
from align.data.columns import Columns, NeverThere, guess_columns, questions_in_columns, rename
from align.data.files import RawRow, find_split, first_rows
from align.data.loading import in_parts, read_row
from align.data.media.rows import MediaReader, media_folder
from align.data.problems import BadRow, DataReport, Row, RowProblem, printable
from align.data.row_templates import RowTemplate
from align.data.streaming import RowSource
from align.data.unread import Unread
from align.errors import DataError
from align.recipe.dataset import MediaSettings

CHUNK = 1 << 20
NO_NAMES = Named()


@dataclass(frozen=True)
class Source:
    """Where rows are, and how they are read."""

    path: str  # a file, a folder or a hub id
    split: str | None = None  # of a folder or hub data set
    max_rows: int | None = None  # read only this many
    adapter: str | None = None  # public schema the rows are in
    columns: Columns = field(default_factory=dict)  # our names of columns that have another name in the file
    media: MediaSettings | None = None
    template: RowTemplate | None = None  # makes the prompts of a recipe
    named: Named = NO_NAMES  # columns that only the user can name


class ReadRow(NamedTuple):
    """A row as it stands there, and what became of it."""

    raw: RawRow
    entry: Entry | RowProblem


class Reader:
    """Reads one source, as often as asked; the kind of its rows is told by their columns if it is empty."""

    def __init__(self, source: Source, kind: str = "") -> None:
        self.source, self._guessed = source, list[str]()
        self.file, self._split = find_split(source.path, source.split)
        self.kind = kind or kind_of_adapter(source.adapter) or self._guess()
        self._named = named_by(source.adapter, source.named)
        unnamed = [name for name in ("text", "outcome") if name in source.columns and not getattr(self._named, name)]
        ours: dict[str, Any] = {name: name for name in unnamed}
        self._named = self._named._replace(**ours)
        if self.kind == "outcomes" and not (self._named.text and self._named.outcome):
            raise DataError(
                f"{source.path}: outcomes need the columns of the text and of the outcome. Name them with `--text` "
                "and `--outcome`, or with `--columns '{text: NAME, outcome: NAME}'`, and what else moves the outcome "
                "with `--confounders`."
            )
        self._rows(MediaReader(media_folder(self.file), source.media))  # an adapter that is none is said before
        self.report = DataReport(self.file)  # what was read the last time

    def read(self) -> Iterator[ReadRow]:
        """Reads the rows in their order."""
        self.report = report = DataReport(self.file)
        reader = MediaReader(media_folder(self.file), self.source.media)
        rows = self._rows(reader)
        never, unread = NeverThere(self.file, self.source.columns), Unread(rows.schema.also)
        with reader.progress:
            for raw in in_parts(first_rows(self.file, self._split, self.source.max_rows), rows.schema):
                if not isinstance(raw.content, RowProblem):
                    never.look(raw.content)
                found = read_row(raw, self.file, rows.check, rows.schema, unread)
                report.num_read += 1
                if isinstance(found, RowProblem):
                    report.problems.append(found)
                else:
                    report.num_kept += 1
                yield ReadRow(raw, found)
        report.unread = [*self._guessed, *unread.sentences(self.file, self.source.columns or None)]
        if not report.num_read:
            raise DataError(f"{self.file} holds no rows. Give a data set with at least one.")
        if self.source.max_rows is None:
            never.check()

    def _rows(self, reader: MediaReader) -> RowSource[Entry]:
        source = self.source
        return source_of(
            self.kind, (self.file, self._split), self._named, adapter=source.adapter, columns=source.columns or None,
            template=source.template, reader=reader,
        )  # fmt: skip

    def _guess(self) -> str:
        source = self.source
        first: RowProblem | None = None
        for raw in first_rows(self.file, self._split, source.max_rows):
            if isinstance(raw.content, RowProblem):
                first = first or raw.content
                continue
            row = raw.content
            with suppress(BadRow):  # what is wrong with the row is said when it is read
                row = rename(row, source.columns, untyped=raw.untyped) if source.columns else row
            found = guess_kind(list(row), source.named)
            if found != (meant := guess_kind([name.strip() for name in row], source.named)):
                spaced = ", ".join(f"`{printable(name)}`" for name in row if name != name.strip())
                raise DataError(
                    f"{source.path} has columns of {meant}, and spaces around the names of some: {spaced}. Remove the "
                    "spaces from the header, or name the kind of rows with `--kind`."
                )
            if found == "prompts" and (entry := questions_in_columns(list(row))):
                raise DataError(
                    f"{source.path} has a column for each option. Say so with `{entry}` under `dataset` of a recipe, "
                    f"which `--recipe` names; or read the rows as they are with `--kind {found}`."
                )
            if found:
                return found
            if guessed := _options_in(row):
                self.source = replace(source, columns={**source.columns, **guessed})
                meant = ", ".join(f"`{theirs}` as `{ours}`" for ours, theirs in guessed.items())
                self._guessed.append(f"{self.file} is read as questions, {meant}; `--columns` says otherwise.")
                return "questions"
            names = ", ".join(printable(name) for name in row)
            raise DataError(
                f"Cannot tell what kind of rows {source.path} has, from its columns {names}. Name it with `--kind`: "
                f"{', '.join(KINDS)}; or an `--adapter`. Say which is which with `--columns`, such as "
                "'{options: choices, answer: answerKey}'."
            )
        why = f"The first: {first}" if first else "Give a data set with at least one."
        raise DataError(f"{source.path} holds no row that can be read. {why}")


def _options_in(row: Row) -> Columns:
    """Guesses the columns of a question with a list of options, under the names of public data sets, as `choices`."""
    wanted = [name for name in ("question", "options", "answer") if name not in row]
    guessed = guess_columns(wanted, list(row))
    options = row.get(str(guessed.get("options", "options")))
    return guessed if set(guessed) == set(wanted) and isinstance(options, list) else {}


def estimate_rows(source: Source) -> int | None:
    """Counts rows for a progress bar, without reading them; None where that takes as long as reading them."""
    file = Path(find_split(source.path, source.split)[0]).expanduser()
    if not file.is_file():
        return None
    if file.suffix == ".parquet":
        import pyarrow.parquet

        try:
            num = int(pyarrow.parquet.read_metadata(file).num_rows)
        except (OSError, ValueError):  # what is wrong with it is said when it is read
            return None
    elif file.suffix in (".jsonl", ".csv"):
        with file.open("rb") as opened:
            num = sum(chunk.count(b"\n") for chunk in iter(lambda: opened.read(CHUNK), b""))
    else:
        return None
    return num if source.max_rows is None else min(num, source.max_rows)

"""Observed outcomes of texts with what else may have moved them, taken from the columns of a table."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from align.data.columns import guess_columns
from align.data.problems import DataReport, RowProblem, bad_rows_error, printable
from align.data.tables.cells import NUMBERS, count_values, has_labels, read_labels, read_numbers, read_texts
from align.data.tables.reading import TableFile
from align.errors import DataError, word_setting
from rewards.correction.categories import Category, find_categories, labelled

if TYPE_CHECKING:
    import pyarrow as pa

Values = NDArray[np.float64]
Labels = NDArray[np.object_]


@dataclass(frozen=True)
class Roles:
    """Which column is what."""

    outcome: str  # what was observed, such as clicks
    confounders: tuple[str, ...]  # what moves the outcome beside the text
    text: str | None = None  # that was shown
    instruments: tuple[str, ...] = ()  # what moves a confounder, and the outcome through it only
    groups: str | None = None  # author, article, week: rows of a group may depend on each other
    prompt: str | None = None  # what the text answers

    @property
    def columns(self) -> dict[str, str]:
        """Names the columns that are read, with what each is for."""
        found = {self.outcome: "outcome", **dict.fromkeys(self.confounders, "confounder")}
        found |= dict.fromkeys(self.instruments, "instrument")
        for role in ("text", "groups", "prompt"):
            if (name := getattr(self, role)) is not None:
                found.setdefault(name, role)
        return found


class Observations(NamedTuple):
    """Some rows of a table, in the columns that an estimator takes: each has `(N,)` values, None without its role."""

    outcome: Values
    confounders: dict[str, Values]
    instruments: dict[str, Values]
    text: Labels | None
    groups: Labels | None  # as texts, so that a label is the same in every format
    prompt: Labels | None
    missing: NDArray[np.bool_]  # whether a value is missing
    units: Mapping[str, str] = MappingProxyType({})  # what dates were turned into, by the name of their column
    categories: tuple[Category, ...] = ()  # confounders that became one column per level

    @property
    def num_rows(self) -> int:
        """Returns N."""
        return len(self.outcome)

    def take(self, kept: NDArray[Any]) -> "Observations":
        """Returns the rows that a mask or an order of indices picks."""
        return _by_row(lambda parts: parts[0][kept], [self])


BY_ROW = Observations._fields[:-2]  # everything but the units and the categories


@dataclass
class ObservationReport(DataReport):
    """What was read, and what was left out because a value was missing."""

    missing: dict[str, int] = field(default_factory=dict)  # rows by column that lacks a value
    unknown_levels: dict[str, int] = field(default_factory=dict)  # rows by category; they count as average ones


def _lacking(roles: Roles, names: Sequence[str], path: str) -> Iterator[str]:
    absent = [name for name in roles.columns if name not in names]
    if not absent:
        return
    guessed = guess_columns(absent, names, list(roles.columns))
    listed = " and ".join(f"no column {name!r} ({roles.columns[name]})" for name in absent)
    meant = "; ".join(f"{near!r}" + (f" for {name!r}" if len(absent) > 1 else "") for name, near in guessed.items())
    hint = f" Did you mean {meant}?" if meant else ""
    yield f"{path} has {listed}. It has: {', '.join(map(printable, names))}.{hint}"


def _doubled(roles: Roles) -> Iterator[str]:
    numeric = [roles.outcome, *roles.confounders, *roles.instruments]
    for name in dict.fromkeys(numeric):
        if numeric.count(name) > 1:
            uses = [role for role, those in _numeric_roles(roles).items() for other in those if other == name]
            yield (
                f"Column {name!r} is given as {' and as '.join(uses)}. Give it once: an instrument moves a confounder "
                "without being one, and neither is the outcome."
            )
    if roles.text is not None and roles.text in numeric:
        yield f"Column {roles.text!r} is both text and a number. Name the column of the texts in `text`."


def read_observations(reader: "ObservationReader") -> tuple[Observations, "ObservationReport"]:
    """Reads the rows of a table that are complete, all at once."""
    parts = list(reader.read())
    if not reader.report.num_kept:
        found = _count_missing(reader.report.missing)
        raise DataError(f"No row of {reader.table.path} is complete: {found}. Fill the values.")
    return join(parts), reader.report


class ObservationReader:
    """Reads observations in batches, as often as asked, and keeps account of those that are left out.

    With `on_bad_rows` `raise` missing values, and those that are no numbers or texts, are refused; with `skip` their
    rows are left out and counted. `numbers` are confounders that stay numbers, however few values they have;
    `categories` those of a correction that is to be applied, None finds those of the table.
    """

    def __init__(
        self,
        table: TableFile,
        roles: Roles,
        *,
        numbers: Collection[str] = (),
        categories: tuple[Category, ...] | None = None,
    ) -> None:
        if refused := [*_lacking(roles, table.names, table.path), *_doubled(roles)]:
            raise DataError(" ".join(refused))
        found = _categories(table, roles.confounders, numbers) if categories is None else categories
        self.categories = {each.name: each for each in found}
        self.table, self.roles = table, roles
        self.report = ObservationReport(table.path)
        self._units: dict[str, str] = {}

    @property
    def units(self) -> dict[str, str]:
        """Returns what dates were turned into in the batches read so far, by the name of the column."""
        return {name: unit for name, unit in self._units.items() if unit != NUMBERS}

    def read(self) -> Iterator[Observations]:
        """Reads the rows that are complete, batch by batch."""
        for _, rows in self.read_with_batches():
            yield rows

    def read_with_batches(self) -> "Iterator[tuple[pa.RecordBatch, Observations]]":
        """Reads the rows that are complete, each batch with all its columns beside it."""
        import pyarrow as pa

        self.report = report = ObservationReport(self.table.path)
        left_out: list[RowProblem] = []
        for batch in self.table.batches():
            rows, unusable = self._extract(batch)
            kept = ~rows.missing
            left_out += self._judge(rows, batch, unusable)
            report.num_read += len(batch)
            report.num_kept += int(kept.sum())
            yield (batch, rows) if kept.all() else (batch.filter(pa.array(kept)), rows.take(kept))
        report.problems = self.table.problems + self._placed(left_out)
        report.num_read += len(self.table.problems)

    def _extract(self, batch: "pa.RecordBatch") -> tuple[Observations, list[RowProblem]]:
        unusable: list[RowProblem] = []
        roles = self.roles

        def numbers(name: str) -> Values:
            found = read_numbers(batch.column(name), name, roles.columns[name], self._units.get(name))
            unusable.extend(found.unusable)
            if found.unit is not None:
                self._units[name] = found.unit
            return found.values

        outcome = numbers(roles.outcome)
        confounders: dict[str, Values] = {}
        for name in roles.confounders:
            if (category := self.categories.get(name)) is None:
                confounders[name] = numbers(name)
            else:
                labels = labelled(batch.column(name).to_pylist())
                confounders |= zip(category.columns, category.code(labels).T, strict=True)
                if unknown := int(category.unknown(labels).sum()):
                    self.report.unknown_levels[name] = self.report.unknown_levels.get(name, 0) + unknown
        instruments = {name: numbers(name) for name in roles.instruments}

        def texts(role: str) -> Labels | None:
            name = getattr(roles, role)
            return None if name is None else read_texts(batch.column(name), name, role, unusable)

        groups = None if roles.groups is None else read_labels(batch.column(roles.groups))
        none = np.zeros(len(batch), dtype=bool)
        rows = Observations(
            outcome, confounders, instruments, texts("text"), groups, texts("prompt"), none, self.units,
            tuple(self.categories.values()),
        )  # fmt: skip
        missing = np.logical_or.reduce([*_missing_by_column(rows, roles).values()])
        return rows._replace(missing=missing), unusable

    def _judge(self, rows: Observations, batch: "pa.RecordBatch", unusable: list[RowProblem]) -> list[RowProblem]:
        """Returns what is left out of a batch by its row of the table, and refuses it if that was not allowed."""
        first = self.report.num_read
        of_table = [bad._replace(row=first + bad.row) for bad in unusable]
        refused: list[DataError] = []
        if of_table and not self.table.skips:
            refused.append(bad_rows_error(self.table.path, self._placed(of_table), first + len(batch)))
        bad = np.zeros(len(batch), dtype=bool)
        bad[[each.row for each in unusable]] = True
        holes = {name: mask & ~bad for name, mask in _missing_by_column(rows, self.roles).items()}
        for name, mask in holes.items():
            if mask.any():
                self.report.missing[name] = self.report.missing.get(name, 0) + int(mask.sum())
        if not self.table.skips and any(mask.any() for mask in holes.values()):
            refused.append(self._missing_error(holes, first))
        if refused:
            raise DataError("\n".join(map(str, refused)))
        return of_table

    def _placed(self, unusable: list[RowProblem]) -> list[RowProblem]:
        """Words what cannot be used, with its places all found at once: each may take a pass over the file."""
        places = self.table.places(bad.row for bad in unusable)
        return [bad._replace(file=self.table.path, row=places[bad.row]) for bad in unusable]

    def _missing_error(self, holes: dict[str, NDArray[np.bool_]], first: int) -> DataError:
        name, row = min(
            ((name, int(mask.argmax())) for name, mask in holes.items() if mask.any()), key=lambda found: found[1]
        )
        rule = "missing or infinite" if self.roles.columns[name] in _numeric_roles(self.roles) else "missing"
        return DataError(
            f"{self.table.path}, row {self.table.place(first + row)}, column `{name}`: the value is {rule}. In the "
            f"rows read so far: {_count_missing(self.report.missing)}. Fill them, or state a policy: "
            f"{word_setting('on_bad_rows', 'skip')} leaves such rows out and counts them."
        )


def _missing_by_column(rows: Observations, roles: Roles) -> dict[str, NDArray[np.bool_]]:
    found = {roles.outcome: ~np.isfinite(rows.outcome)}
    origin = {column: each.name for each in rows.categories for column in each.columns}
    for level, column in (rows.confounders | rows.instruments).items():
        found[origin.get(level, level)] = ~np.isfinite(column)  # the same for every level of a category
    for name, labels in ((roles.text, rows.text), (roles.groups, rows.groups), (roles.prompt, rows.prompt)):
        if name is not None and labels is not None:
            found.setdefault(name, np.array([label is None for label in labels], dtype=bool))
    return found


def join(parts: Sequence[Observations]) -> Observations:
    """Puts the rows of several batches together."""
    return _by_row(np.concatenate, parts)


def _by_row(make: Callable[[list[Any]], Any], parts: Sequence[Observations]) -> Observations:
    """Makes every column of the same ones of several batches."""

    def column(values: list[Any]) -> Any:
        if isinstance(values[0], dict):
            return {name: make([each[name] for each in values]) for name in values[0]}
        return None if values[0] is None else make(values)

    return parts[-1]._replace(**{name: column([getattr(part, name) for part in parts]) for name in BY_ROW})


def _count_missing(missing: dict[str, int]) -> str:
    return ", ".join(f"{name} lacks {count}" for name, count in missing.items()) or "values are no numbers"


def _numeric_roles(roles: Roles) -> dict[str, tuple[str, ...]]:
    return {"outcome": (roles.outcome,), "confounder": roles.confounders, "instrument": roles.instruments}


def _categories(table: TableFile, names: Sequence[str], numbers: Collection[str]) -> tuple[Category, ...]:
    """Reads the levels of confounders that are categories; those in `numbers` are none if they hold numbers."""
    names = [name for name in names if has_labels(table.schema.field(name).type)]
    try:
        pieces = ({name: batch.column(name) for name in names} for batch in (table.batches() if names else ()))
        return find_categories(pieces, numbers, count_values)
    except ValueError as error:
        raise DataError(f"{table.path}: {error}") from error

"""Loads rows, turns each into what its checks return, and keeps account of those that cannot be used."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar, Unpack

from align import plugins
from align.data.columns import MISSING, NEEDED, Columns, Lacking, NeverThere, rename
from align.data.files import find_split, first_rows, lines_of, read_span, spans_of
from align.data.many_cores import map_in_order
from align.data.problems import BadRow, DataReport, RawRow, Row, RowProblem, bad_rows_error, shorten
from align.data.questions.adapters import PARTS, Adapter
from align.data.stored_items import ItemKeeper
from align.data.text_lines import Span
from align.data.texts import check_values
from align.data.unread import Unread
from align.errors import DataError, MissingColumnsError
from rewards.running.loading import find_in_file


class Item(Protocol):
    """What becomes of a row."""

    @property
    def id(self) -> str:
        """Its name, unique in the data set."""

    @property
    def row(self) -> int:
        """Where it stood in the file."""


T = TypeVar("T", bound=Item)
R = TypeVar("R")
Report = TypeVar("Report", bound=DataReport)


class Schema(NamedTuple):
    """What rows may look like."""

    needs: tuple[str, ...]  # columns of ours that every row needs
    adapter: tuple[str, Adapter] | None = None  # turns the rows into our schema
    known: Mapping[str, Adapter] = {}  # proposed where columns are missing
    columns: Columns | None = None  # our names of columns by theirs; None where no recipe can say so
    also: tuple[str, ...] = ()  # columns that are read elsewhere, so that a name near one of them is told


class Account(Generic[T]):
    """Rows that were read, also by several processes, those that cannot be used, and where each id stands."""

    def __init__(self, file: str, schema: Schema) -> None:
        self.file = file
        self._missing = MISSING if schema.adapter is None else NEEDED.format(schema.adapter[0])
        self.num_read = 0
        self.problems: list[RowProblem] = []
        self.taken: dict[str, int] = {}  # row by id, in the order in which they were kept
        self.lacking = Lacking(file, schema.needs)
        self.never = NeverThere(file, schema.columns)
        self.unread = Unread(schema.also)

    def take(self, raw: RawRow, result: T | RowProblem, keep: Callable[[T], None]) -> None:
        """Takes one row up, and keeps what became of it if it can be used."""
        self.num_read += 1
        if not isinstance(raw.content, RowProblem):
            self.never.look(raw.content)
        if not isinstance(result, RowProblem) and result.id in self.taken:
            result = self._repeats(result.id, result.row)
        if isinstance(result, RowProblem):
            self.problems.append(result)
            if result.rule in (MISSING, self._missing):
                self.lacking.add(result, raw)
        else:
            self.taken[result.id] = result.row
            keep(result)

    def join(self, other: "Account[T]") -> set[int]:
        """Takes up another account of the rows behind these; returns which of its items repeat an id, from 0."""
        self.num_read += other.num_read
        self.lacking.join(other.lacking)
        self.never.join(other.never)
        self.unread.join(other.unread)
        repeated = self.taken.keys() & other.taken.keys()
        problems = other.problems + [self._repeats(name, other.taken[name]) for name in repeated]
        self.problems += sorted(problems, key=lambda problem: problem.row) if repeated else problems
        places = {place for place, name in enumerate(other.taken) if name in repeated} if repeated else set()
        self.taken.update((name, row) for name, row in other.taken.items() if name not in repeated)
        return places

    def _repeats(self, name: str, row: int) -> RowProblem:
        remedy = f"Row {self.taken[name]} has it: rename one."
        return RowProblem(self.file, row, "id", shorten(name), "the id is taken", remedy)


class RowOptions(TypedDict, total=False):
    """How rows are read, whatever they are."""

    split: str | None  # of a folder or hub data set; the only one, or `train`, if not given
    on_bad_rows: Literal["raise", "skip"]  # `raise` by default; `skip` leaves them out and reports them
    max_rows: int | None  # all of them by default
    adapter: str | None  # see `find_adapter`


def load_rows(
    path: str | Path,
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    kind: type[Report] = DataReport,  # type: ignore[assignment]
    **reading: Unpack[RowOptions],
) -> tuple[list[T], Report]:
    """Reads a data set and returns its items with a report; `check` makes an item of a row, or raises `BadRow`."""
    file, split = find_split(str(path), reading.get("split"))
    items: list[T] = []
    schema = adapted(schema, reading.get("adapter"))
    account = Account[T](file, schema)
    _read(first_rows(file, split, reading.get("max_rows")), account, check, schema, items.append)
    return items, _close(account, kind(file), check, schema, reading)


def store_rows(
    path: str | Path,
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    kind: type[Report] = DataReport,  # type: ignore[assignment]
    **reading: Unpack[RowOptions],
) -> tuple[Sequence[T], Report]:
    """Does as `load_rows`, but keeps many items in a file rather than in memory, and reads JSONL on all cores."""
    file, split = find_split(str(path), reading.get("split"))
    schema, max_rows = adapted(schema, reading.get("adapter")), reading.get("max_rows")
    account = Account[T](file, schema)
    lines = lines_of(file) if max_rows is None and split is None else None
    with ItemKeeper[T]() as keeper:
        if lines is None:
            _read(first_rows(file, split, max_rows), account, check, schema, keeper.add)
        else:
            _read_lines(lines, account, check, schema, keeper)
        report = _close(account, kind(file), check, schema, reading)
        return keeper.items(), report


def _read(
    rows: Iterable[RawRow],
    account: Account[T],
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    keep: Callable[[T], None],
) -> None:
    for raw in in_parts(rows, schema):
        account.take(raw, read_row(raw, account.file, check, schema, account.unread), keep)


def _read_lines(
    file: Path,
    account: Account[T],
    check: Callable[[Row, RawRow], T],
    schema: Schema,
    keeper: ItemKeeper[T],
) -> None:
    """Reads the first lines here, and once it is known how items are stored, the others on all cores."""

    def read_share(span: Span) -> tuple[Account[T], list[bytes]]:
        items: list[T] = []
        share = Account[T](account.file, schema)
        _read(read_span(file, span), share, check, schema, items.append)
        return share, keeper.pack(items)

    spans = spans_of(file)
    for span in spans:
        _read(read_span(file, span), account, check, schema, keeper.add)
        if keeper.in_file:
            break
    for share, packed in map_in_order(read_share, spans) if keeper.in_file else ():
        keeper.add_packed(packed, without=account.join(share))


def _close(
    account: Account[T], report: Report, check: Callable[[Row, RawRow], T], schema: Schema, reading: RowOptions
) -> Report:
    report.num_read, report.num_kept, report.problems = account.num_read, len(account.taken), account.problems
    report.unread, report.filled = account.unread.sentences(report.file, schema.columns), account.unread.filled
    if report.num_read == 0:
        raise DataError(f"{report.file} holds no rows. Give a data set with at least one.")
    max_rows = reading.get("max_rows")
    if report.num_kept and (max_rows is None or report.num_read < max_rows):
        account.never.check()
    if report.problems and (reading.get("on_bad_rows", "raise") == "raise" or not report.num_kept):
        if 2 * account.lacking.count > report.num_read:
            raise _lacking_error(account.lacking, schema, check, report.num_read)
        raise bad_rows_error(report.file, report.problems, report.num_read)
    return report


def adapted(schema: Schema, adapter: str | None) -> Schema:
    """Has rows turned into our schema first, where an adapter is named."""
    return schema if adapter is None else schema._replace(adapter=find_adapter(adapter, schema.known))


def in_parts(rows: Iterable[RawRow], schema: Schema) -> Iterator[RawRow]:
    """Takes rows apart where the published schema has several questions in one."""
    split = PARTS.get(schema.adapter[0]) if schema.adapter is not None else None
    for raw in rows:
        if split is None or isinstance(raw.content, RowProblem):
            yield raw
        else:
            yield from (raw._replace(content=part) for part in split(raw.content, raw.row))


def find_adapter(name: str | None, adapters: Mapping[str, Adapter]) -> tuple[str, Adapter] | None:
    """Looks an adapter up: one of ours, `path/to/file.py:function`, or one of an installed package."""
    if name is None:
        return None
    if name in adapters:
        return name, adapters[name]
    if ".py:" in name:
        try:
            return name, find_in_file(name, None, noun="Adapter")[1]
        except ValueError as error:
            raise DataError(str(error)) from error
    shipped = plugins.installed(plugins.ADAPTERS, Callable, adapters)  # type: ignore[arg-type]
    if name not in shipped:
        raise DataError(
            f"Unknown adapter {name!r}. Known adapters: {', '.join([*adapters, *shipped]) or '(none)'}. One of your "
            "own is `./mine.py:function`: it takes a row and returns one with our columns."
        )
    return name, shipped[name]


def read_row(
    raw: RawRow, file: str, check: Callable[[Row, RawRow], R], schema: Schema, unread: Unread | None = None
) -> R | RowProblem:
    """Turns one row into what its checks return, or says why it cannot be used; notes what nothing asks of it."""
    if isinstance(raw.content, RowProblem):
        return raw.content
    row: Row = raw.content
    try:
        check_values(row)
        if schema.columns:
            row = rename(row, schema.columns, untyped=raw.untyped)
        stood = row = row if unread is None else unread.watch(row)
        if schema.adapter is not None:
            row = _convert(row, *schema.adapter)
        item = check(row, raw._replace(file=file))
        if unread is not None:
            unread.note(stood)
        return item
    except BadRow as bad:
        if bad.column in schema.needs and bad.column not in row:
            bad.rule, bad.remedy = MISSING, f"The row has: {shorten(', '.join(row), 100)}. {bad.remedy}"
        return bad.problem(file, raw.row)


def _convert(row: Row, name: str, adapter: Adapter) -> dict[str, Any]:
    try:
        return adapter(row)
    except KeyError as error:
        remedy = f"The row has: {', '.join(row)}. Check `adapter`."
        raise BadRow(str(error.args[0]), None, NEEDED.format(name), remedy) from error
    except BadRow:
        raise
    except (TypeError, ValueError, AttributeError, IndexError) as error:  # a value of another kind than published
        remedy = f"Write the row as the schema has it, or leave `adapter` out. Python says: {error}."
        raise BadRow("", dict(row), f"the adapter `{name}` cannot read the row", remedy) from error


def _lacking_error(
    lacking: Lacking, schema: Schema, check: Callable[[Row, RawRow], Item], num_read: int
) -> MissingColumnsError:
    raw, fits = lacking.example, []
    for adapter in (None, *schema.known.items()):
        other = schema._replace(adapter=adapter, columns=None)
        if raw is None or adapter == schema.adapter:
            continue
        part = next(in_parts([raw], other))
        if not isinstance(read_row(part, "", check, other), RowProblem):
            fits.append("" if adapter is None else adapter[0])
    return lacking.error(num_read, None if schema.adapter is None else schema.adapter[0], schema.columns, fits)

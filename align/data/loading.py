"""Loads rows, turns each into what its checks return, and keeps account of those that cannot be used."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar, Unpack

from align import plugins
from align.data.columns import MISSING, NEEDED, Columns, Lacking, NeverThere, rename
from align.data.files import first_rows, lines_of, read_span, spans_of
from align.data.many_cores import map_in_order
from align.data.problems import BadRow, DataReport, RawRow, Row, RowProblem, bad_rows_error, shorten
from align.data.questions.adapters import PARTS, Adapter
from align.data.stored_items import ItemKeeper
from align.data.text_lines import Span
from align.data.texts import check_values
from align.data.unread import Unread
from align.errors import DataError
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


class Reading(TypedDict, total=False):
    """How rows are read, whatever they are."""

    split: str | None  # of a folder or hub data set; the only one, or `train`, if not given
    on_bad_rows: Literal["raise", "skip"]  # `raise` by default; `skip` leaves them out and reports them
    max_rows: int | None  # all of them by default
    adapter: str | None  # see `find_adapter`


def load_rows(
    report: DataReport, check: Callable[[Row, RawRow], T], schema: Schema, **reading: Unpack[Reading]
) -> list[T]:
    """Reads the file of an empty report and fills the report; `check` makes an item, or raises `BadRow`."""
    items: list[T] = []
    schema = adapted(schema, reading.get("adapter"))
    account = Account[T](report.file, schema)
    for raw in in_parts(first_rows(report.file, reading.get("split"), reading.get("max_rows")), schema):
        account.take(raw, read_row(raw, report.file, check, schema, account.unread), items.append)
    _close(account, report, check, schema, reading)
    return items


def store_rows(
    report: DataReport, check: Callable[[Row, RawRow], T], schema: Schema, **reading: Unpack[Reading]
) -> Sequence[T]:
    """Does as `load_rows`, but keeps many items in a file rather than in memory, and reads JSONL on all cores."""
    schema = adapted(schema, reading.get("adapter"))
    account = Account[T](report.file, schema)
    split, max_rows = reading.get("split"), reading.get("max_rows")
    lines = lines_of(report.file) if max_rows is None and split is None else None
    with ItemKeeper[T]() as keeper:
        if lines is None:
            for raw in in_parts(first_rows(report.file, split, max_rows), schema):
                account.take(raw, read_row(raw, report.file, check, schema, account.unread), keeper.add)
        else:

            def to_item(raw: RawRow, unread: Unread) -> T | RowProblem:
                return read_row(raw, report.file, check, schema, unread)

            _read_lines(lines, account, to_item, schema, keeper)
        _close(account, report, check, schema, reading)
        return keeper.items()


def _read_lines(
    file: Path,
    account: Account[T],
    to_item: Callable[[RawRow, Unread], T | RowProblem],
    schema: Schema,
    keeper: ItemKeeper[T],
) -> None:
    """Reads the first lines here, and once it is known how items are stored, the others on all cores."""

    def read_share(span: Span) -> tuple[Account[T], list[bytes]]:
        items: list[T] = []
        share = Account[T](account.file, schema)
        for raw in in_parts(read_span(file, span), schema):
            share.take(raw, to_item(raw, share.unread), items.append)
        return share, keeper.pack(items)

    spans = spans_of(file)
    for span in spans:
        for raw in in_parts(read_span(file, span), schema):
            account.take(raw, to_item(raw, account.unread), keeper.add)
        if keeper.in_file:
            break
    for share, packed in map_in_order(read_share, spans) if keeper.in_file else ():
        keeper.add_packed(packed, without=account.join(share))


def _close(
    account: Account[T], report: DataReport, check: Callable[[Row, RawRow], T], schema: Schema, reading: Reading
) -> None:
    report.num_read, report.num_kept, report.problems = account.num_read, len(account.taken), account.problems
    report.unread, report.filled = account.unread.sentences(report.file, schema.columns), account.unread.filled
    if report.num_read == 0:
        raise DataError(f"{report.file} holds no rows. Give a data set with at least one.")
    max_rows = reading.get("max_rows")
    if report.num_kept and (max_rows is None or report.num_read < max_rows):
        account.never.check()
    if report.problems and (reading.get("on_bad_rows", "raise") == "raise" or not report.num_kept):
        if 2 * account.lacking.count > report.num_read:
            raise DataError(_describe(account.lacking, schema, check, report.num_read))
        raise bad_rows_error(report.file, report.problems, report.num_read)


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


def name_row(row: int, file: str) -> str:
    """Names a row that has no id of its own after its file and place."""
    return f"{Path(file).stem}-{row}"


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
        item = check(row, raw)
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


def _describe(lacking: Lacking, schema: Schema, check: Callable[[Row, RawRow], Item], num_read: int) -> str:
    """Words which columns are missing, and proposes an adapter that can read the rows."""
    raw, fits = lacking.example, []
    for adapter in (None, *schema.known.items()):
        other = schema._replace(adapter=adapter, columns=None)
        if raw is None or adapter == schema.adapter:
            continue
        part = next(in_parts([raw], other))
        if not isinstance(read_row(part, "", check, other), RowProblem):
            fits.append("" if adapter is None else adapter[0])
    return lacking.describe(num_read, None if schema.adapter is None else schema.adapter[0], schema.columns, fits)

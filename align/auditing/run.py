"""Reads the rows once, hands each to every part of the audit, and puts what they find together."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from align.auditing.cue_data import CueData
from align.auditing.entry import Entry
from align.auditing.near import Near, NearRows, why_not
from align.auditing.reading import Reader, Source
from align.auditing.record import AuditRecord, FileCount
from align.auditing.repeats import Seen, compare
from align.auditing.row_findings import describe_rows, leave_out, surplus
from align.auditing.subsets import Parts
from align.errors import DataError

SHOWN_PROBLEMS = 20
Advance = Callable[[], None]


class Audited(NamedTuple):
    """What an audit found.

    Of each row that can be used, there are the reason to leave it out and the row that is about, empty where it should
    stay.
    """

    record: AuditRecord
    reasons: list[tuple[str, str]]
    readers: list[Reader]  # of the training rows, in their order


def audit(
    sources: Sequence[Source],
    held_out: Source | None = None,
    *,
    kind: str = "",
    near: bool = True,
    even_letters: bool = False,
    advance: Advance = lambda: None,
) -> Audited:
    """Audits rows for training, all of one kind, with those for evaluation if there are some.

    By the columns of the first file the kind is told if it is empty. `near` looks for rows that are nearly the same,
    `even_letters` leaves rows out until each letter is right equally often, and `advance` is called after each row.
    """
    readers = [Reader(sources[0], kind)]
    kind = readers[0].kind
    readers += [Reader(each, kind) for each in sources[1:]]
    eval_reader = None if held_out is None else Reader(held_out, kind)
    absent = why_not() if near else "It was asked not to look for rows that are nearly the same (`--no-near`)."
    search = None if absent else NearRows()
    measured = Seen(kind)
    for _, entry in _entries([eval_reader] if eval_reader else [], advance):
        if search is not None:
            search.hold_out(entry)
        measured.add(entry)
    train, cues, parts = Seen(kind), CueData(kind), Parts()
    for row, entry in _entries(readers, advance):
        parts.add(row)
        if search is not None:
            search.add(entry)
        train.add(entry)
        cues.add(entry)
    if not len(train):
        first = "; ".join(str(reader.report.problems[0]) for reader in readers)
        raise DataError(f"No row can be used. The first of each file: {first}")
    if eval_reader is not None and not len(measured):
        raise DataError(f"No row for evaluation can be used. The first: {eval_reader.report.problems[0]}")
    rows = compare(train, measured if eval_reader else None)
    reasons, near_ones = leave_out(train, rows), dict[str, list[Near]]()
    if search is not None:
        nearest = [each for each in search.find() if not (rows.repeats[each.row] or rows.conflict[each.row])]
        close = [search.leaked[row] for row in sorted(search.leaked) if not rows.eval_leaked[row]]
        near_ones = {"near": nearest, "leaked": close}
        for row, leak in search.leaks.items():
            if not reasons[row][0]:
                reasons[row] = ("near leak", measured.name(leak.other))
    if even_letters:
        for row in surplus(train, np.array([not reason for reason, _ in reasons])):
            reasons[row] = ("letter", "")
    found_cues, sentences = cues.find(train, rows, parts)
    if absent:
        sentences = [f"{absent} Only equal rows were compared.", *sentences]
    read = [*readers, *([eval_reader] if eval_reader else [])]
    sentences = [*(text for reader in read for text in reader.report.unread), *sentences]
    findings = describe_rows(train, measured if eval_reader else None, rows, **near_ones)
    files = [_count(reader, "training") for reader in readers]
    files += [] if eval_reader is None else [_count(eval_reader, "evaluation")]
    record = AuditRecord(kind, files, len(train), int(rows.distinct.sum()), findings, found_cues, sentences)
    return Audited(record, reasons, readers)


def _entries(readers: Sequence[Reader], advance: Advance) -> Iterator[tuple[Any, Entry]]:
    for reader in readers:
        for raw, entry in reader.read():
            advance()
            if isinstance(entry, Entry):
                yield raw.content, entry


def _count(reader: Reader, use: str) -> FileCount:
    report = reader.report
    problems = [str(each) for each in report.problems[:SHOWN_PROBLEMS]]
    return FileCount(reader.file, use, report.num_read, report.reasons, problems)

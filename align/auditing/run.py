"""Reads the rows once, hands each to every part of the audit, and puts what they find together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from align.auditing.attributes import AttributeData
from align.auditing.cue_data import CueData
from align.auditing.entry import WITH_TRACE, Entry
from align.auditing.masks import WITH_GOLD, MaskData
from align.auditing.near import JACCARD, Near, NearRows, why_not
from align.auditing.reading import Reader, Source
from align.auditing.record import AuditRecord, FileCount
from align.auditing.row_findings import SHOWN, RowFinding, describe_rows, leave_out
from align.auditing.rows import Seen, compare
from align.errors import DataError

if TYPE_CHECKING:
    from align.auditing.traces import TraceData

SHOWN_PROBLEMS = 20
Advance = Callable[[], None]


class Audited(NamedTuple):
    """What an audit found.

    Of each row that can be used, there are the reason to leave it out and the row that is about, empty where it should
    stay; and its group, if it goes to `counterfactual.jsonl`.
    """

    record: AuditRecord
    reasons: list[tuple[str, str]]
    readers: list[Reader]  # of the training rows, in their order
    groups: list[str] | None = None  # None if no attributes were named


def audit(
    sources: Sequence[Source],
    held_out: Source | None = None,
    *,
    kind: str = "",
    near: bool = True,
    traces: "TraceData | None" = None,
    advance: Advance = lambda: None,
) -> Audited:
    """Audits rows for training, all of one kind, with those for evaluation if there are some.

    By the columns of the first file the kind is told if it is empty. `near` looks for rows that are nearly the same,
    `traces` takes up those of rows for training, to be scored, and `advance` is called after each row.
    """
    readers = [Reader(sources[0], kind)]
    kind = readers[0].kind
    readers += [Reader(each, kind) for each in sources[1:]]
    if held_out is not None:  # what is told is told of rows for training
        held_out = replace(
            held_out, named=held_out.named._replace(mask=None, attributes=(), trace=None, source=None, correct=None)
        )
    eval_reader = None if held_out is None else Reader(held_out, kind)
    column = sources[0].named.mask
    if column is not None and kind not in WITH_GOLD:
        raise DataError(
            f"`mask_column` is for rows with a gold to tell ({', '.join(WITH_GOLD)}), got {kind}. Leave it out."
        )
    _check_traces(traces, kind, sources[0].named.trace)
    masks = None if column is None else MaskData(column)
    attributes = AttributeData(sources[0].named.attributes) if sources[0].named.attributes else None
    absent = why_not() if near else "It was asked not to look for rows that are nearly the same (`--no-near`)."
    search = None if absent else NearRows()
    measured = Seen(kind)
    for entry in _entries([eval_reader] if eval_reader else [], advance):
        if search is not None:
            search.hold_out(len(measured), entry)
        measured.add(entry)
    train, cues, nearest = Seen(kind), CueData(kind), list[Near]()
    for entry in _entries(readers, advance):
        if search is not None and (found := search.add(len(train), entry)) is not None:
            nearest.append(found)
        train.add(entry)
        cues.add(entry)
        if masks is not None:
            masks.add(entry)
        if attributes is not None:
            attributes.add(entry)
        if traces is not None:
            traces.add(entry)
    if not len(train):
        first = "; ".join(str(reader.report.problems[0]) for reader in readers)
        raise DataError(f"No row can be used. The first of each file: {first}")
    if eval_reader is not None and not len(measured):
        raise DataError(f"No row for evaluation can be used. The first: {eval_reader.report.problems[0]}")
    rows = compare(train, measured if eval_reader else None)
    findings, reasons = describe_rows(train, measured if eval_reader else None, rows), leave_out(train, rows)
    if search is not None:
        nearest = [each for each in nearest if not (rows.repeats[each.row] or rows.conflict[each.row])]
        findings.append(_near(nearest, train, train, "near_duplicates", "rows that are nearly an earlier one"))
        if eval_reader is not None:
            close = [search.leaked[row] for row in sorted(search.leaked) if not rows.eval_leaked[row]]
            findings.append(
                _near(close, measured, train, "near_leaks", "evaluation rows that are nearly rows for training")
            )
        for row, leak in search.leaks.items():
            if not reasons[row][0]:
                reasons[row] = ("near leak", measured.name(leak.other))
    found_cues, sentences = cues.find(train, rows)
    if absent:
        sentences = [f"{absent} Only equal rows were compared.", *sentences]
    read = [*readers, *([eval_reader] if eval_reader else [])]
    sentences = [*(text for reader in read for text in reader.report.unread), *sentences]
    told = None if masks is None else masks.find(train, rows)
    if isinstance(told, str):
        sentences, told = [*sentences, told], None
    pairs = None
    if attributes is not None:
        pairs = attributes.find(train, rows, np.array([bool(reason) for reason, _ in reasons]))
        sentences = [*sentences, *pairs.sentences]
    files = [_count(reader, "training") for reader in readers]
    files += [] if eval_reader is None else [_count(eval_reader, "evaluation")]
    record = AuditRecord(
        kind, files, len(train), int(rows.distinct.sum()), findings, found_cues, told,
        pairs.finding if pairs else None, None, sentences,
    )  # fmt: skip
    return Audited(record, reasons, readers, pairs.groups if pairs else None)


def _check_traces(traces: "TraceData | None", kind: str, column: str | None) -> None:
    if traces is None:
        return
    if kind not in WITH_TRACE:
        raise DataError(
            f"`score_with` is for rows with a trace ({', '.join(WITH_TRACE)}), got {kind}. Leave it out."
        )  # fmt: skip
    if column is None and kind != "sft":  # whose completion is one
        raise DataError(
            f"`score_with` scores traces, and no column of the {kind} is named as one. Name it with `--trace_column`."
        )


def _entries(readers: Sequence[Reader], advance: Advance) -> Iterator[Entry]:
    for reader in readers:
        for _, entry in reader.read():
            advance()
            if isinstance(entry, Entry):
                yield entry


def _near(found: Sequence[Near], rows: Seen, others: Seen, name: str, text: str) -> RowFinding:
    examples = [f"{rows.name(each.row)} is {each.jaccard:.2f} of {others.name(each.other)}" for each in found[:SHOWN]]
    text += f": at least {JACCARD:.0%} of the word 5-grams of both"
    todo = (
        "Look at these: `--write` leaves the training rows out that an evaluation row is near."
        if name == "near_leaks"
        else "Look at some of them: the same said again teaches little and weighs more. Nothing is left out for it."
    )
    return RowFinding(name, len(found), len(rows), text, todo, examples)


def _count(reader: Reader, use: str) -> FileCount:
    report = reader.report
    problems = [str(each) for each in report.problems[:SHOWN_PROBLEMS]]
    return FileCount(reader.file, use, report.num_read, report.reasons, problems)

"""`align audit --score_with`: loads a student, and shows how likely it finds the traces."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from align.audit.record import AuditRecord
from align.audit.trace_scores import TraceFinding, find_scores, write_traces
from align.console import make_console, make_table
from align.errors import UserError
from align.report.audit.words import TRACE_COLUMNS, trace_cells, traces_sentence

if TYPE_CHECKING:
    from align.audit.traces import TraceData
    from align.models.checkpoint import Checkpoint

_OF_TRACES = ("trace_column", "source_column", "correct_column")


class Student(NamedTuple):
    """A model that is to score traces, not loaded yet, and the traces in its tokens.

    Attributes:
        checkpoint: Where it is.
        data: What it will read.
        how: `dtype` and `device`.
    """

    checkpoint: "Checkpoint"
    data: "TraceData"
    how: dict[str, Any]


def find_student(scoring: Mapping[str, Any]) -> Student | None:
    """Finds the model and loads its tokenizer; None if no model is named.

    Raises:
        UserError: If there is no such model, or a column is named for nothing.
    """
    if scoring["score_with"] is None:
        if named := [name for name in _OF_TRACES if scoring[name] is not None]:
            raise UserError(f"`{named[0]}` is for traces that a model scores. Name it with `--score_with`.")
        return None
    from align.audit.traces import TraceData
    from align.models.checkpoint import find_checkpoint, load_tokenizer

    checkpoint = find_checkpoint(scoring["score_with"])
    data = TraceData(load_tokenizer(checkpoint), checkpoint.window())
    return Student(checkpoint, data, {name: scoring[name] for name in ("dtype", "device")})


def score(student: Student, record: AuditRecord, out: Path) -> AuditRecord:
    """Loads the model, scores every trace, and writes the scores beside the record."""
    from align.models.checkpoint import load_model

    model, _ = load_model(student.checkpoint, **student.how)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=make_console(stderr=True), transient=True) as progress:
        task = progress.add_task("Traces scored", total=len(student.data))
        scored = student.data.score(model, lambda num: progress.advance(task, num))
    found, sentences = find_scores(student.data, scored, student.checkpoint.path)
    write_traces(scored, out)
    return replace(record, traces=found, sentences=[*record.sentences, *sentences])


def show_traces(found: TraceFinding, console: Any) -> None:
    """Prints the table of groups."""
    console.print(Text(traces_sentence(found)))
    table = make_table()
    for name in TRACE_COLUMNS:
        table.add_column(name, overflow="fold")
    for each in found.groups:
        table.add_row(*map(Text, trace_cells(each)))
    console.print(table)

"""One HTML file about a data set: what it would teach, and which rows say so."""

from collections.abc import Sequence
from pathlib import Path

from align.auditing.attributes import AttributeFinding
from align.auditing.cues import Cue, Cues
from align.auditing.record import AuditRecord
from align.auditing.row_findings import RowFinding
from align.auditing.trace_scores import TraceFinding
from align.report.audit.words import (
    TRACE_COLUMNS,
    by_length,
    effect_of,
    headline,
    in_points,
    mask_sentence,
    pairs_sentence,
    share_of,
    trace_cells,
    traces_sentence,
)
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.evaluation.view import Grid
from align.report.page import write_page
from align.report.run.finding import Finding

_DRAWN = 16
_SHOWN = 60


def build_audit_page(record: AuditRecord, out: Path) -> Path:
    """Writes the page.

    Args:
        record: What was found.
        out: The HTML file.
    """
    found = record.cues.found if record.cues else []
    return write_page(
        "audit.html.j2",
        out,
        title=f"Audit of {' and '.join(Path(file.file).name for file in record.files if file.use == 'training')}",
        verdict=headline(record),
        findings=_findings(record),
        files=_files(record),
        rows=_rows(record.rows),
        todos=[each for each in record.rows if each.count],
        charts=_charts(record.cues),
        cues=[(cue, effect_of(cue), share_of(cue), in_points(cue.within_length)) for cue in found[:_SHOWN]],
        num_hidden=max(0, len(found) - _SHOWN),
        measures=_measures(found[:_SHOWN]),
        mask=mask_sentence(record.mask) if record.mask else "",
        attributes=pairs_sentence(record.attributes) if record.attributes else "",
        rare=_rare(record.attributes),
        scored=traces_sentence(record.traces) if record.traces else "",
        scores=Grid(TRACE_COLUMNS, list(map(trace_cells, record.traces.groups))) if record.traces else None,
        steps=_steps(record.traces),
        tested=by_length(record.cues) if record.cues else "",
    )


def _findings(record: AuditRecord) -> list[Finding]:
    found = [Finding("What cannot be said", sentence) for sentence in record.sentences]
    for file in record.files:
        if file.unusable:
            counts = "; ".join(f"{count} x {rule}" for rule, count in file.unusable.items())
            num = sum(file.unusable.values())
            title = f"{num:,} of {file.read:,} rows of {file.file} cannot be used and are in no count below"
            found.append(Finding(title, f"{counts}. The first: {file.problems[0]}"))
    return found


def _files(record: AuditRecord) -> Grid:
    rows = [
        (file.file, file.use, f"{file.read:,}", f"{file.read - sum(file.unusable.values()):,}")
        for file in record.files
    ]
    return Grid(("file", "used for", "rows", "that can be used"), rows)


def _rows(findings: Sequence[RowFinding]) -> Grid:
    rows = [
        (f"{each.name.replace('_', ' ')}: {each.text}", _found(each), "; ".join(each.examples)) for each in findings
    ]
    return Grid(("looked for", "found", "such as"), rows)


def _found(finding: RowFinding) -> str:
    share = f" ({finding.count / finding.of:.1%})" if finding.count else ""
    return f"{finding.count:,} of {finding.of:,}{share}"


def _charts(cues: Cues | None) -> list[Chart]:
    if cues is None or not cues.found:
        return []
    drawn = cues.found[:_DRAWN]
    is_share = drawn[0].information is not None
    intervals = [
        Interval(
            f"{cue.name} ({cue.goes_with})", "", *((end - cue.expected) for end in (cue.share, cue.low, cue.high))
        )
        for cue in drawn
    ]
    note = (
        f"The strongest {len(drawn)}, with 95 % intervals; 0 is no cue."
        if len(drawn) > 1
        else "With its 95 % interval."
    )
    unit = "share above what chance has" if is_share else "partial rank correlation"
    return [draw_intervals("What goes with the label", note, intervals, unit, share=is_share)]


def _rare(found: AttributeFinding | None) -> Grid | None:
    if found is None or not found.rare:
        return None
    rows = [
        (each.first, f"{each.n_first:,}", each.second, f"{each.n_second:,}", f"{each.n:,}", f"{each.expected:.1f}",
         "never together" if each.pmi is None else f"{each.pmi:+.2f}")
        for each in found.rare
    ]  # fmt: skip
    return Grid(("value", "rows", "with", "rows", "together", "by chance", "PMI, bits"), rows)


def _steps(found: TraceFinding | None) -> Grid | None:
    if found is None or len(found.steps) < 2:
        return None
    return Grid(
        ("step", "traces that have it", "mean NLL"),
        [(str(each.step), f"{each.n:,}", f"{each.mean:.2f}") for each in found.steps],
    )


def _measures(cues: Sequence[Cue]) -> Grid | None:
    rows = [(cue.name, *(f"{value:.3f}" for value in cue.information)) for cue in cues if cue.information is not None]
    columns = ("cue", "productivity", "utility", "coverage", "harmonic mean", "DCI")
    return Grid(columns, rows) if rows else None

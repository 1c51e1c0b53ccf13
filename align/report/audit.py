"""The page of an audit, and its words for the terminal: what a data set would teach, and which rows say so."""

from collections.abc import Sequence
from pathlib import Path

from align.auditing.cues import Cue, Cues
from align.auditing.record import AuditRecord
from align.auditing.row_findings import RowFinding
from align.report.charts.drawing import Chart
from align.report.charts.interval import Interval, draw_intervals
from align.report.evaluation.view import Grid
from align.report.page import write_page
from align.report.run.finding import Finding

_DRAWN = 16
_SHOWN = 60


def build_audit_page(record: AuditRecord, out: Path) -> Path:
    """Writes the page."""
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
    rows = []
    for each in findings:
        found = f"{each.count:,} of {each.of:,}" + (f" ({each.count / each.of:.1%})" if each.count else "")
        rows.append((f"{each.name.replace('_', ' ')}: {each.text}", found, "; ".join(each.examples)))
    return Grid(("looked for", "found", "such as"), rows)


def _charts(cues: Cues | None) -> list[Chart]:
    if cues is None or not cues.found:
        return []
    drawn = cues.found[:_DRAWN]
    is_share = drawn[0].is_share
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


def headline(record: AuditRecord) -> list[str]:
    """Says what to take away, one sentence each."""
    found = [f"{each.count:,} of {each.of:,} {each.text}." for each in record.rows if each.count]
    if not found:
        looked = ", ".join(each.name.replace("_", " ") for each in record.rows)
        found = [f"None of what was looked for among {record.num_rows:,} rows was found: {looked}."]
    if record.cues is None:
        return found
    if not record.cues.found:
        return [*found, f"Of {record.cues.num_tested:,} features none goes with the label beyond 10 points."]
    first = record.cues.found[0]
    more = f", and {len(record.cues.found) - 1} more" if len(record.cues.found) > 1 else ""
    return [*found, f"{first.name} in the {first.where} goes with {first.goes_with}: {share_of(first)}{more}."]


def share_of(cue: Cue) -> str:
    """Words how often a cue is with its label."""
    if not cue.is_share:
        return f"rank correlation {cue.share:+.2f} [{cue.low:+.2f}, {cue.high:+.2f}] over {cue.n:,} texts with it"
    return (
        f"{cue.hits:,.0f} of {cue.n:,}, {cue.share:.0%} [{cue.low:.0%}, {cue.high:.0%}], where {cue.expected:.0%} "
        "would be no cue"
    )


def effect_of(cue: Cue) -> str:
    """Words the effect of a cue."""
    return in_points(cue.effect) if cue.is_share else f"{cue.effect:+.2f}"


def in_points(effect: float) -> str:
    """Writes a difference of shares, or a correlation, in hundredths.

    Example:
        >>> in_points(0.3721)
        '+37'
    """
    return f"{100 * effect:+.0f}"


def by_length(cues: Cues) -> str:
    """Says how many features were tested, and how many go with length."""
    tested = "feature was" if cues.num_tested == 1 else "features were"
    text = f"{cues.num_tested:,} {tested} tested, in {cues.unit}; the false discovery rate is 5 %."
    if cues.num_by_length:
        text += (
            f" {cues.num_by_length:,} more pass alone, and not where texts of similar length are compared: they go "
            "with length."
        )
    return text

"""Best-of-n curves and audits of verifiers, as sections of the page."""

import math
from collections.abc import Sequence

from align.evaluation.record.policies import Audit, BestOfN, ModelAudit
from align.evaluation.statistics.metrics import Estimate
from align.report.charts.axis import format_number
from align.report.charts.curve import Curve, draw_curves
from align.report.charts.drawing import NUM_COLOURS
from align.report.evaluation.measured import known
from align.report.evaluation.view import Grid, Section
from align.report.run.tables import Row, Table


def best_of_n_section(curves: Sequence[BestOfN]) -> list[Section]:
    """Draws the true quality of what a verifier chooses from n, that of the best there is, and what it thinks."""
    if not curves:
        return []
    quality = [
        curve
        for colour, row in enumerate(curves)
        for cells, label, dashed in (
            ([point.gold for point in row.points], "chosen", False),
            ([point.oracle for point in row.points], "best there is", True),
        )
        if (curve := _curve(row, cells, f"{row.model}, {label}", colour, dashed))
    ]
    proxy = [
        curve
        for colour, row in enumerate(curves)
        if (curve := _curve(row, [point.proxy for point in row.points], row.model, colour, False))
    ]
    charts = []
    if quality:
        note = "Where the solid line bends down while the proxy still rises, the verifier is being exploited."
        charts.append(draw_curves("True quality of the best of n", note, quality, "samples chosen from", share=True))
    if proxy:
        note = "The verifier's own score of what it chose; it can only rise."
        charts.append(draw_curves("Proxy: what the verifier thinks", note, proxy, "samples chosen from", share=False))
    note = "From one pool of samples per question, over all subsets of n: no further sampling noise."
    return [Section("Best of n: proxy against gold", note, charts)]


def audit_section(audits: Sequence[ModelAudit]) -> list[Section]:
    """Tabulates how far a verifier can be trusted, and how many attempts pay at each cost of a false positive."""
    if not audits:
        return []
    columns = [f"{row.model}: {row.verifier}" for row in audits]
    labels = _audited(audits[0])
    rows = [Row(label, meaning, [known(_audited(row)[label, meaning]) for row in audits]) for label, meaning in labels]
    charts = [
        draw_curves(
            f"Utility of repeated attempts, {name}",
            "Expected worth of answering: 1 for a right answer that is accepted, minus the cost for a wrong one.",
            lines,
            "attempts at most",
            share=False,
        )
        for name, row in zip(columns, audits, strict=True)
        if (lines := _utilities(row))
    ]
    costs = sorted({best.cost for row in audits for best in row.optimal_attempts})
    optimal = [[f"{cost:g}", *(_optimum(row, cost) for row in audits)] for cost in costs]
    grids = [Grid(["Cost of a false positive", *columns], optimal)] if optimal else []
    note = "Repeated attempts until the verifier accepts one. Its false positives cap what sampling can reach."
    return [Section("Audit of the verifier", note, charts, Table(columns, rows, len(columns)), grids)]


def _audited(audit: Audit) -> dict[tuple[str, str], Estimate]:
    """Returns the estimates by their label and meaning."""
    return {
        ("Attempts that are right", "before the verifier looks at them"): audit.prior,
        ("Attempts accepted", "the part that the verifier lets through"): audit.accepted,
        ("Right attempts accepted", "true-positive rate"): audit.true_positive_rate,
        ("Wrong attempts accepted", "false-positive rate"): audit.false_positive_rate,
        ("Ceiling", "accuracy of accepted answers however many attempts are made"): audit.ceiling,
    }


def _curve(row: BestOfN, cells: Sequence[Estimate], label: str, colour: int, dashed: bool) -> Curve | None:
    measured = [(point.n, cell) for point, cell in zip(row.points, cells, strict=True) if known(cell)]
    if not measured:
        return None
    counts, cells = zip(*measured, strict=True)
    ends = ([cell.low for cell in cells], [cell.high for cell in cells])
    return Curve(label, counts, [cell.value for cell in cells], *ends, colour % NUM_COLOURS, dashed)


def _utilities(row: ModelAudit) -> list[Curve]:
    lines = []
    for colour, line in enumerate(row.utility[:NUM_COLOURS]):
        nothing = [math.nan] * len(line.attempts)
        lines.append(Curve(f"cost {line.cost:g}", line.attempts, line.utility, nothing, nothing, colour))
    return lines


def _optimum(row: ModelAudit, cost: float) -> str:
    best = next((best for best in row.optimal_attempts if best.cost == cost), None)
    if best is None:
        return "not measured"
    attempts = best.attempts
    worth = "" if best.utility is None else f", worth {format_number(best.utility)}"
    if attempts == 0:
        return "do not answer"
    return f"as many as can be paid{worth}" if attempts is None else f"{attempts} attempts{worth}"

"""Best-of-n curves and audits of verifiers, as sections of the page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from align.report.charts.curve import Curve, draw_curves
from align.report.charts.drawing import NUM_COLOURS, Chart, format_number
from align.report.evaluation.folder import to_estimate
from align.report.evaluation.view import Grid, Section
from align.report.run.tables import Row, Table

_AUDITED = {
    "prior": ("Attempts that are right", "before the verifier looks at them"),
    "accepted": ("Attempts accepted", "the part that the verifier lets through"),
    "true_positive_rate": ("Right attempts accepted", "true-positive rate"),
    "false_positive_rate": ("Wrong attempts accepted", "false-positive rate"),
    "ceiling": ("Ceiling", "accuracy of accepted answers however many attempts are made"),
}


def best_of_n_section(record: Mapping[str, Any]) -> list[Section]:
    """Draws the true quality of what a verifier chooses from n, that of the best there is, and what it thinks."""
    curves = record.get("curves") or []
    if not curves:
        return []
    quality = [
        curve
        for colour, row in enumerate(curves)
        for key, label, dashed in (("gold", "chosen", False), ("oracle", "best there is", True))
        if (curve := _curve(row, key, f"{row['model']}, {label}", colour, dashed))
    ]
    proxy = [
        curve for colour, row in enumerate(curves) if (curve := _curve(row, "proxy", row["model"], colour, False))
    ]
    charts = []
    if quality:
        note = "Where the solid line bends down while the proxy still rises, the verifier is being exploited."
        charts.append(_draw("True quality of the best of n", note, quality, "samples chosen from"))
    if proxy:
        note = "The verifier's own score of what it chose; it can only rise."
        charts.append(_draw("Proxy: what the verifier thinks", note, proxy, "samples chosen from"))
    note = "From one pool of samples per question, over all subsets of n: no further sampling noise."
    return [Section("Best of n: proxy against gold", note, charts)]


def audit_section(record: Mapping[str, Any]) -> list[Section]:
    """Tabulates how far a verifier can be trusted, and how many attempts pay at each cost of a false positive."""
    audits = record.get("audits") or []
    if not audits:
        return []
    columns = [f"{row['model']}: {row['verifier']}" for row in audits]
    rows = [
        Row(label, meaning, [to_estimate(row[key]) if row.get(key) else None for row in audits])
        for key, (label, meaning) in _AUDITED.items()
        if any(row.get(key) for row in audits)
    ]
    charts = [
        _draw(
            f"Utility of repeated attempts, {name}",
            "Expected worth of answering: 1 for a right answer that is accepted, minus the cost for a wrong one.",
            lines,
            "attempts at most",
            share=False,
        )
        for name, row in zip(columns, audits, strict=True)
        if (lines := _utilities(row))
    ]
    costs = sorted({best["cost"] for row in audits for best in row.get("optimal_attempts") or []})
    optimal = [[f"{cost:g}", *(_optimum(row, cost) for row in audits)] for cost in costs]
    grids = [Grid(["Cost of a false positive", *columns], optimal)] if optimal else []
    note = "Repeated attempts until the verifier accepts one. Its false positives cap what sampling can reach."
    return [Section("Audit of the verifier", note, charts, Table(columns, rows, len(columns)), grids)]


def _curve(row: Mapping[str, Any], key: str, label: str, colour: int, dashed: bool) -> Curve | None:
    measured = [(point["n"], cell) for point in row["points"] if point.get(key) and (cell := to_estimate(point[key]))]
    if not measured:
        return None
    counts, cells = zip(*measured, strict=True)
    ends = ([cell.low for cell in cells], [cell.high for cell in cells])
    return Curve(label, counts, [cell.value for cell in cells], *ends, colour % NUM_COLOURS, dashed)


def _utilities(row: Mapping[str, Any]) -> list[Curve]:
    lines = []
    for colour, line in enumerate((row.get("utility") or [])[:NUM_COLOURS]):
        nothing = [math.nan] * len(line["attempts"])
        lines.append(Curve(f"cost {line['cost']:g}", line["attempts"], line["utility"], nothing, nothing, colour))
    return lines


def _draw(title: str, note: str, curves: Sequence[Curve], unit: str, share: bool | None = None) -> Chart:
    if share is None:
        share = all(-1 <= value <= 1 for curve in curves for value in curve.y)
    return draw_curves(title, note, curves, unit, share=share)


def _optimum(row: Mapping[str, Any], cost: float) -> str:
    best = next((best for best in row.get("optimal_attempts") or [] if best["cost"] == cost), None)
    if best is None:
        return "not measured"
    attempts = best["attempts"]
    worth = "" if best.get("utility") is None else f", worth {format_number(best['utility'])}"
    if attempts == 0:
        return "do not answer"
    return f"as many as can be paid{worth}" if attempts is None else f"{attempts} attempts{worth}"

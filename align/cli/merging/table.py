"""The table that `align merge` prints, and its page."""

from pathlib import Path

from rich.markup import escape

from align.console import make_console, make_table
from align.evaluation.record.merging import MERGING_FILE, MergingRecord
from align.evaluation.statistics.metrics import Estimate

SHOWN = ("worst_group", "drift_kl")  # beside the main metric, where they were measured


def show_merging(merging: MergingRecord, out: Path) -> None:
    """Prints what each weight is worth, and which one was picked, and builds the page."""
    from align.report.merging import build_merging_report

    console = make_console(least=110)
    others = [name for name in SHOWN if any(name in model.metrics for model in merging.models)]
    table = make_table()
    for name in ("alpha", merging.metric, *others, "minus base", "minus tuned", "gained", "lost"):
        table.add_column(escape(name), justify="right", overflow="fold")
    for model in merging.models:
        cells = [model.metrics.get(name) for name in (merging.metric, *others)]
        cells += [model.against_base, model.against_tuned]
        counts = ["" if ids is None else f"{len(ids):,}" for ids in (model.gained, model.lost)]
        style = "bold" if model.alpha == merging.picked else None
        table.add_row(f"{model.alpha:g}", *map(_cell, cells), *counts, style=style)
    console.print(table)
    console.print("gained: right merged and wrong in both parents; lost: wrong merged and right in both.", style="dim")
    console.print(escape(_picked(merging)), soft_wrap=True)
    print(f"\nAll numbers are in {out / MERGING_FILE}, the report is {build_merging_report(out)}.")


def _picked(merging: MergingRecord) -> str:
    if merging.rule is None:
        return ""
    chosen = next((model for model in merging.models if model.alpha == merging.picked), None)
    if chosen is None:
        return f"No weight fits `{merging.rule}`. All merged models stay."
    return (
        f"Picked by `{merging.rule}`: alpha {chosen.alpha:g}, {chosen.path}. It was chosen on these items, so its own "
        "numbers are optimistic: evaluate it on others."
    )


def _cell(cell: Estimate | None) -> str:
    return "" if cell is None else escape(str(cell))

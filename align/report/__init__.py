"""Reports: one offline HTML file per run, per evaluation, or per comparison of runs."""

from pathlib import Path

from align.evaluation.record import EVALUATION_FILE, SCORES, read_record
from align.evaluation.record.merging import MERGING_FILE
from align.report.evaluation import build_evaluation_report
from align.report.merging import build_merging_report
from align.report.page import build_comparison, build_report

__all__ = ["build_any_report", "build_comparison", "build_report", "is_evaluation"]

_LOG = "metrics.jsonl"


def is_evaluation(folder: Path) -> bool:
    """Tells whether a folder holds an evaluation; a folder with a log is a run, also if one lies beside the log."""
    return not (folder / _LOG).exists() and (folder / EVALUATION_FILE).exists()


def build_any_report(folder: Path, out: Path | None = None) -> Path:
    """Writes the report of a training run, an evaluation, a merge, or of runs side by side with their evaluation.

    A folder with `evaluation.json` and run folders in it is a comparison, such as the quickstart writes. Where models
    were asked, what was measured fills a page of its own, and the comparison of the runs is that of their folders.
    """
    if (folder / MERGING_FILE).exists() and not (folder / _LOG).exists():
        return build_merging_report(folder, out)
    if not is_evaluation(folder):
        return build_report(folder, out)
    runs = sorted(path.parent for path in folder.glob(f"*/{_LOG}"))
    if not runs:
        return build_evaluation_report(folder, out)
    record = read_record(folder / EVALUATION_FILE)
    if record.kind != SCORES:
        return build_evaluation_report(folder, out)
    names = {name.lower(): name for name in record.names}
    return build_comparison(
        {names.get(run.name, run.name): run for run in runs}, record, out or folder / "report.html"
    )

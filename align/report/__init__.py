"""Reports: one offline HTML file per run, per evaluation, or per comparison of runs."""

from pathlib import Path

from align.evaluation.record import EVALUATION_FILE
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
    """Writes the report of a training run, an evaluation or a merge."""
    if (folder / MERGING_FILE).exists() and not (folder / _LOG).exists():
        return build_merging_report(folder, out)
    return build_evaluation_report(folder, out) if is_evaluation(folder) else build_report(folder, out)

"""`align report`: one page per run, comparison or evaluation."""

from pathlib import Path

from align.report import build_any_report


def run(folder: Path) -> None:
    """Writes report.html into a run folder or the folder of an evaluation."""
    print(f"The report is {build_any_report(folder)}.")

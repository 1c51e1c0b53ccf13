"""`align report`: one page per run."""

from pathlib import Path

from align.report import build_report


def run(run_dir: Path) -> None:
    """Writes report.html into the run folder."""
    print(f"The report is {build_report(run_dir)}.")

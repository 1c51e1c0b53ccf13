"""Reports: one offline HTML file per run, per evaluation, or per comparison of runs."""

from align.report.any_folder import build_any_report
from align.report.page import build_comparison, build_report

__all__ = ["build_any_report", "build_comparison", "build_report"]

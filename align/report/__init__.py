"""Reports: one offline HTML file per run, or per comparison of runs."""

from align.report.page import build_comparison, build_report

__all__ = ["build_comparison", "build_report"]

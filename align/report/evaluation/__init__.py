"""The page of an evaluation: policies or reward models, with a baseline or without."""

from align.report.evaluation.page import build_evaluation_report

__all__ = ["build_evaluation_report"]

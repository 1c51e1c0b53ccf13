"""The page of an audit."""

from align.report.audit.page import build_audit_page

__all__ = ["build_audit_page"]

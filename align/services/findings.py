"""Findings on the console."""

from collections.abc import Sequence

from rich.text import Text

from align.checks.finding import Finding
from align.console import make_console, make_table

STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def print_findings(findings: Sequence[Finding], *, stderr: bool = False) -> None:
    """Prints findings as a table without borders."""
    table = make_table(show_header=False)
    for style in ("bold", "dim", ""):
        table.add_column(style=style, vertical="top", no_wrap=style != "", overflow="fold")
    for finding in findings:
        text = Text(finding.text)
        if finding.fix and finding.fix not in finding.text:
            text.append(f"\n{finding.fix}", "bold cyan")
        table.add_row(Text(finding.level, STYLES[finding.level]), finding.check, text)
    make_console(stderr=stderr).print(table)

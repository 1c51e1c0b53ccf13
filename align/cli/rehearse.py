"""What `align rehearse` prints: the verdict, what to mend, then the numbers."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from align.console import make_console, make_table
from align.errors import UserError
from align.services.findings import STYLES, print_findings


def run(recipe: str, overrides: Sequence[str], fail_on: str, **how: Any) -> int:
    """Rehearses and prints; returns 1 if a finding is as bad as `fail_on`, error or warning."""
    if fail_on not in ("error", "warning"):
        raise UserError(f"`fail_on` must be error or warning, got {fail_on!r}.")
    from align.services.rehearse import rehearse_words

    result = rehearse_words(recipe, overrides, **how)
    level = result.findings[0].level if result.findings else "ok"  # the worst is the first
    console, table = make_console(least=100), make_table(show_header=False)
    console.print(Text(result.record.verdict, f"bold {STYLES[level]}"))
    print_findings([*result.findings, *(each for each in result.record.found.findings if each.level == "ok")])
    for row in result.record.numbers:
        table.add_row(*map(Text, row))
    console.print(table)
    console.print(f"Tables and samples are on {result.page}.", markup=False, soft_wrap=True)
    return int(level == "error" or level == fail_on)

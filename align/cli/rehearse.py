"""What `align rehearse` prints: the verdict, what to mend, then the numbers."""

from collections.abc import Sequence
from typing import Any

from rich.text import Text

from align.console import make_console, make_table
from align.errors import UserError
from align.rehearsal.record import Table
from align.services.findings import STYLES, print_findings

FAIL_ON = ("error", "warning")


def run(recipe: str, overrides: Sequence[str], fail_on: str, **how: Any) -> int:
    """Rehearses and prints; returns 1 if a finding is as bad as `fail_on`."""
    if fail_on not in FAIL_ON:
        raise UserError(f"`fail_on` must be error or warning, got {fail_on!r}.")
    from align.services.rehearse import rehearse_words

    result = rehearse_words(recipe, overrides, how["options"], how["reach"])
    record = result.record
    worst = {each.level for each in record.sick}
    code = int("error" in worst or (fail_on == "warning" and "warning" in worst))
    console = make_console(least=100)
    style = STYLES["error" if "error" in worst else "warning" if worst else "ok"]
    console.print(Text(record.verdict, f"bold {style}"))
    print_findings([*record.sick, *(each for each in record.found.findings if each.level == "ok")])
    numbers = [(each.words, str(each), f"{each.estimate.n:,} {each.estimate.unit}") for each in record.found.measures]
    for part in (Table("Numbers", "", ("", "value", "over"), numbers), *record.found.tables):
        table = make_table(*part.columns)
        for row in part.rows:
            table.add_row(*map(Text, row))
        console.print(Text(part.title, "bold"), table, sep="\n")
    console.print(f"\nNumbers, samples and how to read them are on {result.page}.", markup=False, soft_wrap=True)
    return code

"""What `align audit` prints."""

from rich.text import Text

from align.auditing.cues import Cues
from align.auditing.record import AuditRecord
from align.console import make_console, make_table, print_table
from align.report.audit import by_length, in_points, share_of

_SHOWN_CUES = 20


def show(record: AuditRecord) -> None:
    """Prints the tables."""
    console = make_console(least=100)
    for file in record.files:
        left_out = sum(file.unusable.values())
        print(
            f"{file.file}: {file.read:,} rows of {record.kind} for {file.use}"
            + (f", {left_out:,} cannot be used:" if left_out else ".")
        )
        for problem in file.problems[:3]:
            console.print(Text(f"  {problem}"))
    table = make_table()
    for name, justify in (("found", "right"), ("of", "right"), ("", "left"), ("such as", "left")):
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for each in record.rows:
        style = "yellow" if each.count else ""
        table.add_row(
            Text(f"{each.count:,}", style), f"{each.of:,}", Text(f"{each.name.replace('_', ' ')}: {each.text}"),
            Text("; ".join(each.examples[:1])),
        )  # fmt: skip
    console.print(table)
    if record.cues is not None:
        _show_cues(record.cues)
    for sentence in record.sentences:
        console.print(Text(sentence))


def _show_cues(cues: Cues) -> None:
    found = cues.found
    if found:
        rows = [
            (cue.name + (f" (also {', '.join(cue.also[:2])})" if cue.also else ""), cue.where, cue.goes_with,
             share_of(cue), in_points(cue.effect), in_points(cue.within_length))
            for cue in found[:_SHOWN_CUES]
        ]  # fmt: skip
        print_table(("cue", "in", "goes with", "how often", "points", "at one length"), rows)
        if len(found) > _SHOWN_CUES:
            print(f"{len(found) - _SHOWN_CUES} more cues are on the page and in audit.json.")
    else:
        print("No feature goes with the label beyond 10 points.")
    print(by_length(cues))

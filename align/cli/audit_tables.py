"""What `align audit` prints."""

from typing import Any

from rich.text import Text

from align.auditing.record import AuditRecord
from align.console import make_console, make_table
from align.report.audit import by_length, in_points, pairs_sentence, share_of

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
        _show_cues(record, console)
    if record.attributes is not None:
        console.print(Text(pairs_sentence(record.attributes)))
    for sentence in record.sentences:
        console.print(Text(sentence))


def _show_cues(record: AuditRecord, console: Any) -> None:
    assert record.cues is not None
    found = record.cues.found
    if found:
        table = make_table("cue", "in", "goes with")
        for name in ("how often", "points", "at one length"):
            table.add_column(name, overflow="fold")
        for cue in found[:_SHOWN_CUES]:
            also = f" (also {', '.join(cue.also[:2])})" if cue.also else ""
            table.add_row(
                Text(cue.name + also), Text(cue.where), Text(cue.goes_with), share_of(cue), in_points(cue.effect),
                in_points(cue.within_length),
            )  # fmt: skip
        console.print(table)
        if len(found) > _SHOWN_CUES:
            print(f"{len(found) - _SHOWN_CUES} more cues are on the page and in audit.json.")
    else:
        print("No feature goes with the label beyond 10 points.")
    print(by_length(record.cues))

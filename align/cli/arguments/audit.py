"""Arguments of the command that looks at data: audit."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from align.cli.application import app, execute
from align.cli.many_words import ManyWords, words
from align.cli.options import takes
from align.options import Media
from align.services.options import AuditReading, NamedColumns, Scoring


@app.command(cls=ManyWords)
@takes(reading=AuditReading, named=NamedColumns, scoring=Scoring, media=Media)
def audit(
    out: Annotated[Path, typer.Option(help="Folder for audit.json, audit.html and, with `--write`, the rows.")],
    reading: AuditReading,
    named: NamedColumns,
    scoring: Scoring,
    media: Media,
    data: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Argument(metavar="FILE...", help="Rows for training: files, folders or hub ids, all of one kind."),
    ] = None,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Whether to look for rows that are nearly the same.")
    ] = True,
    write: Annotated[bool, typer.Option("--write", help="Write kept.jsonl and left_out.jsonl, with reasons.")] = False,
    fail_on: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(
            "--fail_on", help="Exit with 1 if there are any of these: duplicates, contradictions, leaks, cues ..."
        ),
    ] = None,
) -> None:
    """Say what a data set would teach that nobody meant: repeats, contradictions, leaks, and cues to the label."""
    execute(lambda: _run(data or [], out, (reading, named, scoring, media), near, write, words(fail_on)))


def _run(
    data: list[str], out: Path, groups: tuple[Any, ...], near: bool, write: bool, fail_on: tuple[str, ...]
) -> int:
    """Prints what was found; returns 1 if something is found that it should fail on."""
    from align.auditing.kept import COUNTERFACTUAL_FILE, KEPT_FILE, LEFT_OUT_FILE
    from align.auditing.trace_scores import TRACES_FILE
    from align.cli.audit_tables import show
    from align.services.audit import audit_data

    reading, named, *others = groups
    lists = {name: list(words(getattr(named, name))) for name in ("confounders", "attributes")}
    found = audit_data(data, out, reading, replace(named, **lists), *others, near=near, write=write, fail_on=fail_on)
    show(found.record)
    if found.record.traces is not None:
        print(f"The score of each trace is in {out / TRACES_FILE}.")
    if found.written is not None:
        kept, left_out, counterfactual = found.written
        print(f"{kept:,} rows are in {out / KEPT_FILE}, {left_out:,} with reasons in {out / LEFT_OUT_FILE}.")
        if lists["attributes"]:
            print(f"{counterfactual:,} rows, each with a group, are in {out / COUNTERFACTUAL_FILE}.")
    print(f"The page is {found.page}.")
    counts = found.record.counts()
    failed = [f"{name} ({counts[name]:,})" for name in fail_on if counts.get(name)]
    if failed:
        print(f"Failed on {', '.join(failed)}.")
    return int(bool(failed))

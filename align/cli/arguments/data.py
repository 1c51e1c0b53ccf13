"""Arguments of the commands about data to train on: augment, filter and audit."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from align.cli.application import ManyWords, app, execute, words
from align.cli.options import given_options, takes
from align.methods import METHODS
from align.options import Media, Reading
from align.services.options import (
    AuditReading,
    ByBase,
    BySamples,
    Loading,
    Making,
    NamedColumns,
    Reach,
    Sampling,
)

if TYPE_CHECKING:
    from align.services.filter import FilterResult

MADE = {name: method.part("augment_options") for name, method in METHODS.items() if method.augment_options}


@app.command()
@takes(in_panels=True, making=Making, reach=Reach, sampling=Sampling, reading=Reading, media=Media, **MADE)
def augment(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Rows to start from: a file, a folder or a hub id.")],
    method: Annotated[str, typer.Option(help=f"What the data is for: {' or '.join(MADE)}.")],
    out: Annotated[Path, typer.Option(help="Folder for the data; the same command continues in it.")],
    **groups: Any,
) -> None:
    """Make data to train on from a model or from rules, in the form that a method learns from."""
    from align.services.augment import augment

    execute(lambda: augment(data, out, method=method, given=given_options(context), **groups))


@app.command(name="filter", size="eval")
@takes(in_panels=True, scoring=ByBase, sampled=BySamples, loading=Loading)
def filter_rows(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(help="Pairs (with `tie` and `source`) or prompts: a file, a folder, a hub id.")
    ],
    out: Annotated[Path, typer.Option(help="New .jsonl file for what is kept.")],
    scoring: ByBase,
    sampled: BySamples,
    loading: Loading,
) -> None:
    """Keep pairs a reward model is not sure of, samples a verifier accepts, or prompts a policy sometimes solves."""
    given = given_options(context)

    def run() -> int:
        from align.services.filter import filter_data

        found = filter_data(data, out, scoring, sampled, loading, given=given)
        _show(found)
        return int(not found.num_kept)

    execute(run)


def _show(found: "FilterResult") -> None:
    from align.console import make_console, print_table

    print_table(found.lines[0], found.in_words())
    for sentence in found.sentences:
        make_console().print(sentence, markup=False, soft_wrap=True)


@app.command(cls=ManyWords)
@takes(in_panels=True, reading=AuditReading, named=NamedColumns, media=Media)
def audit(
    out: Annotated[Path, typer.Option(help="Folder for audit.json, audit.html and, with `--write`, the rows.")],
    reading: AuditReading,
    named: NamedColumns,
    media: Media,
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Rows for training: files, folders or hub ids, all of one kind."),
    ] = None,
    near: Annotated[
        bool, typer.Option("--near/--no-near", help="Whether to look for rows that are nearly the same.")
    ] = True,
    write: Annotated[bool, typer.Option("--write", help="Write kept.jsonl and left_out.jsonl, with reasons.")] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail_on",
            help="Exit with 1 on any of: duplicates, contradictions, leaks, cues ...; or 'leaks > 0.01'.",
        ),
    ] = None,
) -> None:
    """Say what a data set would teach that nobody meant: repeats, contradictions, leaks, and cues to the label."""
    execute(lambda: _audit(data or [], out, (reading, named, media), near, write, words(fail_on)))


def _audit(
    data: list[str], out: Path, groups: tuple[Any, ...], near: bool, write: bool, fail_on: tuple[str, ...]
) -> int:
    """Prints what was found; returns 1 if something is found that it should fail on."""
    from align.auditing.kept import KEPT_FILE, LEFT_OUT_FILE
    from align.cli.audit_tables import show
    from align.services.audit import audit_data, failed

    reading, named, *others = groups
    named = replace(named, confounders=[*words(named.confounders)])
    found = audit_data(data, out, reading, named, *others, near=near, write=write, fail_on=fail_on)
    show(found.record)
    if found.written is not None:
        kept, left_out = found.written
        print(f"{kept:,} rows are in {out / KEPT_FILE}, {left_out:,} with reasons in {out / LEFT_OUT_FILE}.")
    print(f"The page is {found.page}.")
    if met := failed(found.record, fail_on):
        print(f"Failed on {', '.join(met)}.")
    return int(bool(met))

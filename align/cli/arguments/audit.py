"""Arguments of the command that looks at data: audit."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Optional

import typer

from align.cli.application import app, execute
from align.cli.many_words import ManyWords, words
from align.cli.options import takes, values
from align.options import Media, option


@dataclass(frozen=True, kw_only=True)
class AuditReading:
    """How rows are read; those that cannot be used are counted and left out."""

    recipe: str | None = option(None, "Take the files and how they are read from a recipe.")
    eval: str | None = option(None, "Rows for evaluation, to look for leaks.")
    kind: str = option("", "pairs, questions, prompts, sft or outcomes; by the columns if not given.")
    split: str | None = option(
        None, "Split of a folder or hub data set; for files, counterfactual writes the rare pairs of `--attributes`."
    )
    eval_split: str | None = option(None, "Split of the rows for evaluation.")
    max_rows: int | None = option(None, "Read only this many rows of each file.")
    adapter: str | None = option(None, "Public schema the rows are in, such as mmlu.")


@dataclass(frozen=True, kw_only=True)
class Named:
    """Columns that only the user can name."""

    label: str | None = option(None, "sft: column of the class; by default the completion, where it is one.")
    text: str | None = option(None, "outcomes: column of the text.")
    outcome: str | None = option(None, "outcomes: column of what was observed.")
    confounders: list[str] | None = option(None, "outcomes: columns of what moves the outcome beside the text.")
    prompt: str | None = option(None, "outcomes: column of what the text answers.")
    mask_column: str | None = option(None, "Column of a text, such as a trace, that should not give the gold away.")
    attributes: list[str] | None = option(
        None, "Columns, two or more: with `--write`, rows with rare pairs of their values go to counterfactual.jsonl."
    )


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """How traces are scored by a student; nothing is left out for it."""

    score_with: str | None = option(None, "Model, as a folder or hub id, that says how likely each trace is.")
    trace_column: str | None = option(None, "Column of the traces; of sft rows the completion, if not given.")
    source_column: str | None = option(None, "Column of who wrote a trace.")
    correct_column: str | None = option(
        None, "Column of whether a trace is right; of questions what it comes to, if not given."
    )
    dtype: str = option("float32", "Of the loaded weights.")
    device: str | None = option(None, "Where to compute; the accelerator if there is one.")


@app.command(cls=ManyWords)
@takes(reading=AuditReading, named=Named, scoring=Scoring, media=Media)
def audit(
    out: Annotated[Path, typer.Option(help="Folder for audit.json, audit.html and, with `--write`, the rows.")],
    reading: AuditReading,
    named: Named,
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
    from align.cli.audit import run

    columns = values(named) | {"confounders": words(named.confounders), "mask": named.mask_column}
    columns["attributes"] = tuple(words(named.attributes))
    columns |= {name: getattr(scoring, f"{name}_column") for name in ("trace", "source", "correct")}
    del columns["mask_column"]
    execute(
        lambda: run(
            data or [],
            out,
            reading=values(reading),
            named=columns,
            scoring=values(scoring),
            media=values(media),
            near=near,
            write=write,
            fail_on=words(fail_on),
        )
    )

"""Arguments of the command that corrects observed outcomes: deconfound."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from align.cli.application import ManyWords, app, execute, words
from align.cli.options import takes
from align.methods.deconfound.options import Columns, Estimation, PairsOf, TableReading


@app.command(cls=ManyWords)
@takes(columns=Columns, estimation=Estimation, reading=TableReading, pairs=PairsOf)
def deconfound(
    data: Annotated[str, typer.Argument(help="Observed outcomes: .csv, .parquet, .jsonl, a folder or a hub id.")],
    out: Annotated[Path, typer.Option(help="New folder for the corrected table, the correction and the report.")],
    columns: Columns,
    estimation: Estimation,
    reading: TableReading,
    pairs: PairsOf,
    embedding_model: Annotated[
        str | None,
        typer.Option("--embedding_model", help="Model whose embeddings replace TF-IDF: a folder or a hub id."),
    ] = None,
    apply: Annotated[
        Path | None, typer.Option(help="A saved correction.json to map these rows with, in place of fitting one.")
    ] = None,
) -> None:
    """Turn observed outcomes into rewards without the effect of known confounders, with the evidence."""

    def run() -> None:
        from align.methods.deconfound.command import deconfound_table
        from align.methods.deconfound.correction_page import print_result

        lists: dict[str, Any] = {name: [*words(getattr(columns, name))] for name in ("confounders", "instruments")}
        moved = replace(estimation, instrumented=[*words(estimation.instrumented)])
        groups = replace(columns, **lists), moved, reading, pairs
        result = deconfound_table(data, out, *groups, embedding_model=embedding_model, saved=apply)
        print_result(result.correction, result.numbers, result.sentences)

    execute(run)

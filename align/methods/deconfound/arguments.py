"""Arguments of the command that corrects observed outcomes: deconfound."""

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
    apply: Annotated[
        Path | None, typer.Option(help="A saved correction.json to map these rows with, in place of fitting one.")
    ] = None,
) -> None:
    """Turn observed outcomes into rewards without the effect of known confounders, with the evidence."""

    def run() -> None:
        from align.methods.deconfound.command import deconfound as correct
        from align.methods.deconfound.correction_page import print_result

        given: dict[str, Any] = vars(columns) | vars(estimation) | vars(reading) | vars(pairs)
        given |= {name: [*words(given[name])] for name in ("confounders", "instruments", "instrumented")}
        result = correct(data, out=out, apply=apply, **given)
        print_result(result.correction, result.numbers, result.sentences)

    execute(run)

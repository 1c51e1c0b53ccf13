"""Arguments of the command that corrects observed outcomes: deconfound."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from align.cli.application import app, execute
from align.cli.many_words import ManyWords, words


@app.command(cls=ManyWords)
def deconfound(
    data: Annotated[str, typer.Argument(help="Observed outcomes: .csv, .parquet, .jsonl, a folder or a hub id.")],
    out: Annotated[Path, typer.Option(help="New folder for the corrected table, the correction and the report.")],
    outcome: Annotated[str, typer.Option(help="Column of the observed outcome, such as clicks.")] = "",
    confounders: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="Columns of what moves the outcome beside the text: words, or commas between."),
    ] = None,
    text: Annotated[str, typer.Option(help="Column of the text; controlled for where the estimator can.")] = "",
    instruments: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option("--instruments", "--instrument", help="Columns that move a confounder and nothing else."),
    ] = None,
    groups: Annotated[str, typer.Option(help="Column of author, article or week.")] = "",
    prompt: Annotated[str, typer.Option(help="Column of what the text answers, for pairs.")] = "",
    estimator: Annotated[str, typer.Option(help="iv, dml, fixed_effects, ols or none.")] = "iv",
    instrumented: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(help="iv: confounders that the instruments move; all if not given."),
    ] = None,
    on_weak_instrument: Annotated[
        str, typer.Option("--on_weak_instrument", help="iv: fallback (to dml), refuse or keep.")
    ] = "fallback",
    num_folds: Annotated[int, typer.Option("--num_folds", help="Folds of the cross-fitting.")] = 5,
    max_words: Annotated[int, typer.Option("--max_words", help="Words that TF-IDF keeps.")] = 5000,
    embedding_model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--embedding_model", help="Model whose embeddings replace TF-IDF: a folder or a hub id."),
    ] = None,
    on_missing: Annotated[
        str, typer.Option("--on_missing", help="raise, or drop to leave rows with missing values out.")
    ] = "raise",
    on_bad_rows: Annotated[
        str, typer.Option("--on_bad_rows", help="raise, or skip to leave rows that cannot be read out.")
    ] = "raise",
    adapter: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Public schema of the table: upworthy or stackexchange."),
    ] = None,
    apply: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="A saved correction.json to map these rows with, in place of fitting one."),
    ] = None,
    pairs: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="New .jsonl file for preference pairs within prompts (or groups)."),
    ] = None,
    margin: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Least difference of the rewards of a pair, in units of the outcome."),
    ] = None,
    pairs_per_prompt: Annotated[int, typer.Option("--pairs_per_prompt", help="Pairs of a prompt at most.")] = 4,
    split: Annotated[Optional[str], typer.Option(help="Split of a folder or hub data set.")] = None,  # noqa: UP045
    max_rows: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max_rows", help="Read only this many rows."),
    ] = None,
    in_memory: Annotated[
        float,
        typer.Option("--in_memory", help="MB; a larger file is read in chunks (ols, none, and iv without text)."),
    ] = 1024.0,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
) -> None:
    """Turn observed outcomes into rewards without the effect of known confounders, with the evidence."""
    from align.methods.deconfound.command import run

    roles = {"outcome": outcome, "text": text or None, "groups": groups or None, "prompt": prompt or None}
    lists = {"confounders": words(confounders), "instruments": words(instruments)}
    settings = {"estimator": estimator, "on_weak_instrument": on_weak_instrument, "num_folds": num_folds}
    more = {"instrumented": words(instrumented) or None, "max_words": max_words, "seed": seed}
    reading = {"on_missing": on_missing, "on_bad_rows": on_bad_rows, "adapter": adapter, "split": split}
    execute(
        lambda: run(
            data,
            out,
            roles=roles | lists,
            settings=settings | more,
            reading=reading | {"max_rows": max_rows, "in_memory": in_memory},
            embedding_model=embedding_model,
            saved=apply,
            pairs={"file": pairs, "margin": margin, "per_prompt": pairs_per_prompt},
        )
    )

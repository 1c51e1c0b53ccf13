"""Arguments of the command that chooses data to train on: filter."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from align.cli.application import app, execute
from align.cli.options import given_options, takes
from align.services.options import ByBase, BySamples, Loading

if TYPE_CHECKING:
    from align.services.filter import FilterResult


@app.command(name="filter")
@takes(scoring=ByBase, sampled=BySamples, loading=Loading)
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
    from rich.markup import escape

    from align.console import make_console, make_table

    first, *others = found.lines[0]
    table = make_table(first)
    for name in others:
        table.add_column(name, justify="right")
    for row in found.in_words():
        table.add_row(*map(escape, row))
    console = make_console(least=100)
    console.print(table)
    for sentence in found.sentences:
        console.print(sentence, markup=False, soft_wrap=True)

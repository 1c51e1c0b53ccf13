"""Arguments of the commands around a recipe: train, check, show, doctor, keys, schema, recipes and report."""

from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import ManyWords, app, execute, words
from align.cli.completion import WithKeys, methods
from align.cli.completion import recipes as shipped
from align.cli.options import takes
from align.options import COLUMNS
from align.rehearsal.plan import Rehearsing
from align.services.options import Reach

OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}
RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or a shipped one such as acre/quickstart.", autocompletion=shipped)
]
METHOD = typer.Argument(metavar="|".join(methods("")), help="A method.", autocompletion=methods)
LaunchOption = Annotated[
    Path | None,
    typer.Option(
        "--accelerate_config", help="The file given to `accelerate launch --config_file`, for the arithmetic."
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry_run",
        "--dry-run",
        help="Train nothing: check all but rewards that ask a model, and print their cost.",
    ),
]


ResumeOption = Annotated[
    str | None, typer.Option(help="Checkpoint to go on from: `auto` takes the last whole one; or its path.")
]


@app.command(cls=WithKeys, size="train", context_settings=OVERRIDES)
def train(
    context: typer.Context,
    recipe: RecipeArgument,
    resume: ResumeOption = None,
    time_limit: Annotated[
        str | None,
        typer.Option(
            "--time_limit", help="Save and stop before this time is over, with exit code 75: 3h50m, 90min, 03:50:00."
        ),
    ] = None,
    allow_changed_data: Annotated[
        bool, typer.Option("--allow_changed_data", help="Go on even if the data or the base model have changed since.")
    ] = False,
    on_end: Annotated[
        str | None,
        typer.Option("--on_end", help="Command for the shell at an alarm and at the end: it reads ALIGN_MESSAGE."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Train with this many seeds, one after another, and write one page.", min=2)
    ] = None,
    dry_run: DryRunOption = False,
) -> None:
    """Train on a recipe; `--key value` overrides it. Several processes: accelerate launch ... -m align train ..."""
    if dry_run:
        from align.cli.findings import check_recipe

        execute(lambda: check_recipe(recipe, context.args, None, as_json=False, dry_run=True, resume=resume))
        return
    if seeds is not None:
        from align.services.seeds import run_seeds

        more = ["--allow_changed_data"] * allow_changed_data + (["--on_end", on_end] if on_end else [])
        execute(lambda: run_seeds(recipe, context.args, seeds, time_limit, more))
        return
    from align.services.train import run

    execute(lambda: run(recipe, context.args, resume, time_limit, allow_changed_data, on_end=on_end))


@app.command(cls=WithKeys, size="train", context_settings=OVERRIDES)
def check(
    context: typer.Context,
    recipe: RecipeArgument,
    accelerate_config: LaunchOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    resume: ResumeOption = None,
    dry_run: DryRunOption = False,
) -> None:
    """Find what is wrong with a recipe, its data and its rewards, without loading a model."""
    from align.cli.findings import check_recipe

    execute(lambda: check_recipe(recipe, context.args, accelerate_config, json, dry_run=dry_run, resume=resume))


@app.command(cls=WithKeys, size="train", context_settings=OVERRIDES)
def show(
    context: typer.Context,
    recipe: RecipeArgument,
    ask: Annotated[bool, typer.Option("--ask", help="Also have the model answer each row once.")] = False,
) -> None:
    """Show three rows as the model will read them, what rewards get of them, and what the first reward pays."""
    from align.cli.findings import show_rows

    execute(lambda: show_rows(recipe, context.args, ask))


@app.command(cls=WithKeys, size="train", context_settings=OVERRIDES)
@takes(options=Rehearsing, reach=Reach)
def rehearse(
    context: typer.Context,
    recipe: RecipeArgument,
    options: Rehearsing,
    reach: Reach,
    fail_on: Annotated[
        str, typer.Option("--fail_on", help="Exit with 1 on an error, or on a warning, too: error or warning.")
    ] = "error",
) -> None:
    """Try a run before it is paid for: sample its model, call its rewards, and say what it would learn from."""
    from align.cli.findings import rehearse_recipe

    execute(lambda: rehearse_recipe(recipe, context.args, fail_on, options=options, reach=reach))


@app.command()
def doctor(
    output_dir: Annotated[Path, typer.Option("--output_dir", help="Where runs will be written.")] = Path("outputs"),
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check versions, devices, disk and engines of this machine, with the line that mends each problem."""
    from align.cli.findings import check_machine

    execute(lambda: check_machine(output_dir, json))


@app.command(size="train")
def keys(
    method: Annotated[str, METHOD],
    word: Annotated[
        str | None,
        typer.Argument(help="Show only keys with this word; those named so with their whole help."),
    ] = None,
) -> None:
    """List every key that a recipe of a method may hold, with what it takes, its default and what it does."""
    from align.cli.keys import show_keys

    execute(lambda: show_keys(method, word))


@app.command(size="train")
def schema(
    method: Annotated[str | None, METHOD] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write those of all methods to where the shipped recipes look for them.")
    ] = False,
) -> None:
    """Print the JSON Schema of a method's recipes, with which an editor checks and completes them."""
    if method is None and not write:
        raise typer.BadParameter("Name the method whose schema is printed, or add --write for those of all.")
    from align.cli.keys import show_schema

    execute(lambda: show_schema(method, write=write))


@app.command()
def recipes() -> None:
    """List the shipped recipes with their hardware and purpose."""
    from align.cli.keys import show_recipes

    execute(show_recipes)


@app.command()
def report(
    folders: Annotated[
        list[Path],
        typer.Argument(help="Folder of a run (also of TRL or verl) or an evaluation, or several runs."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The file to write; report.html in the folder, or comparison.html here for several."),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Serve the page on 127.0.0.1 while runs train; it follows them.")
    ] = False,
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of `--watch`, 8765 if not given; 0 takes a free one.")
    ] = None,
) -> None:
    """Write the page of a run, of several runs side by side, or of an evaluation."""
    from align.cli.report import run

    execute(lambda: run(folders, out, watch, port))


@app.command(cls=ManyWords)
def compare(
    logs: Annotated[
        list[str],
        typer.Argument(
            metavar="LOG...",
            help="Baseline, then others: logs or tables of scores. NAME=PATH names one, FOLDER#MODEL takes one model.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for comparison.json and the page.")],
    match: Annotated[
        list[str] | None,
        typer.Option(help="Fields by which documents are matched; by default all, or `id` of a table."),
    ] = None,
    scores: Annotated[list[str] | None, typer.Option(help="Columns of a table that hold scores.")] = None,
    group: Annotated[
        str | None, typer.Option(help="A field that names the group of a document, such as doc.subject.")
    ] = None,
    average: Annotated[
        bool, typer.Option("--average", help="Rows of a table with the same id are answers to one item.")
    ] = False,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail_on",
            help="Exit with 1 if a difference is surely so: 'acc < -0.01', 'task:acc < 0'.",
        ),
    ] = None,
    missing: Annotated[
        str,
        typer.Option(help="What a missing score counts as: bound (anything), wrong, drop; or LOW:HIGH."),
    ] = "bound",
    only_common: Annotated[
        bool, typer.Option("--only_common", help="Leave out documents and tasks that only one log has.")
    ] = False,
    columns: Annotated[str, typer.Option(help=COLUMNS)] = "",
) -> None:
    """Compare logs of evaluations, of any tool, on the same documents: differences, intervals, won and lost."""
    from align.logs.log import How
    from align.logs.missing import read_missing
    from align.recipe.recipe import read_columns
    from align.services.compare import run

    def compare_them() -> int:
        how = How(words(match), words(scores), group, average, read_columns(columns))
        return run(logs, out, how, read_missing(missing, only_common), fail_on or ())

    execute(compare_them)

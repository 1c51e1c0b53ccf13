"""Arguments and help of every command."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Optional

import typer

from align.cli.many_words import ManyWords, words

app = typer.Typer(
    help="Alignment training on TRL with rewards that are checked, consistent and causal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
OVERRIDES = {"allow_extra_args": True, "ignore_unknown_options": True}
RecipeArgument = Annotated[str, typer.Argument(help="A recipe file, or a shipped one such as acre/quickstart.")]
LaunchOption = Annotated[
    Optional[Path],  # noqa: UP045 - typer reads the annotation at run time
    typer.Option(
        "--accelerate_config", help="The file given to `accelerate launch --config_file`, for the arithmetic."
    ),
]


@app.command(context_settings=OVERRIDES)
def train(
    context: typer.Context,
    recipe: RecipeArgument,
    resume: Annotated[
        Optional[str], typer.Option(help="`auto` continues from the last checkpoint; or the path of one.")  # noqa: UP045
    ] = None,
) -> None:
    """Train on a recipe; `--key value` overrides it. Several processes: accelerate launch ... -m align train ..."""
    from align.cli.train import run

    _run(lambda: run(recipe, context.args, resume))


@app.command(context_settings=OVERRIDES)
def check(
    context: typer.Context,
    recipe: RecipeArgument,
    accelerate_config: LaunchOption = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Find what is wrong with a recipe, its data and its rewards, without loading a model."""
    from align.cli.check import run

    _run(lambda: run(recipe, context.args, accelerate_config, json))


@app.command()
def recipes() -> None:
    """List the shipped recipes with their hardware and purpose."""
    from align.cli.recipes import run

    _run(run)


@app.command()
def report(run_dir: Annotated[Path, typer.Argument(help="The output folder of a run.")]) -> None:
    """Write report.html for a run folder."""
    from align.cli.report import run

    _run(lambda: run(run_dir))


@app.command()
def augment(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(help="A file, a folder or a hub id. rrpo: `prompt`, `reference`; crome: preference pairs."),
    ],
    method: Annotated[str, typer.Option(help="What the data is for: rrpo or crome.")],
    out: Annotated[Path, typer.Option(help="Folder for the pairs; the same command continues in it.")],
    model: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="A folder or hub id, or with `--endpoint` the name served there."),
    ] = None,
    endpoint: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1."),
    ] = None,
    api_key_env: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--api_key_env", help="Variable that holds the API key, if not OPENAI_API_KEY."),
    ] = None,
    perturbation: Annotated[
        str, typer.Option(help="rrpo: mask_local_shuffle, mask, global_shuffle, local_shuffle or none.")
    ] = "mask_local_shuffle",
    num_samples: Annotated[int, typer.Option("--num_samples", help="rrpo: responses sampled for each row.")] = 4,
    judge: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="rrpo: reward that is below 0.5 for wrong answers; else a right one contains the reference."
        ),
    ] = None,
    wording: Annotated[
        str, typer.Option(help="rrpo: words of the chosen answer: model (restates the rejected), swap or reference.")
    ] = "model",
    num_attributes: Annotated[
        int, typer.Option("--num_attributes", help="crome: attributes edited for each question, 1 to 5.")
    ] = 5,
    neutrals: Annotated[
        str,
        typer.Option(help="crome: ties, of irrelevant_query, paraphrase, causally_aligned (comma between), or none."),
    ] = "irrelevant_query",
    oracle: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="crome: path/to/rules.py:Rules, a class with rubric, edit and verify in place of a model."),
    ] = None,
    temperature: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Of sampling; 0.7 for rrpo, 0 for crome."),
    ] = None,
    top_p: Annotated[float, typer.Option("--top_p", help="Of sampling.")] = 1.0,
    max_new_tokens: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max_new_tokens", help="Longest response; 128 for rrpo, 2048 for crome."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    concurrency: Annotated[int, typer.Option(help="Calls to the endpoint at once.")] = 16,
    timeout: Annotated[float, typer.Option(help="Seconds until a call is lost.")] = 120.0,
    max_retries: Annotated[int, typer.Option("--max_retries", help="How often a call is tried again.")] = 5,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Responses at once without an endpoint.")] = 16,
    split: Annotated[Optional[str], typer.Option(help="Split of a folder or hub data set.")] = None,  # noqa: UP045
    max_rows: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max_rows", help="Read only this many rows."),
    ] = None,
    on_bad_rows: Annotated[
        str, typer.Option("--on_bad_rows", help="raise, or skip to leave them out and count them.")
    ] = "raise",
    cache: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Folder of the answers, which runs may share; OUT/cache if not given."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", "--dry-run", help="Print the number of calls and tokens; send none.")
    ] = False,
) -> None:
    """Make pairs to train on: from a model's own mistakes (rrpo), or by edits of one cause of quality (crome)."""
    from align.cli.augment import run

    reach = {"endpoint": endpoint, "api_key_env": api_key_env, "concurrency": concurrency}
    rrpo = {"perturbation": perturbation, "num_samples": num_samples, "judge": judge, "wording": wording}
    crome = {"num_attributes": num_attributes, "neutrals": neutrals, "oracle": oracle}
    sampling = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens, "seed": seed}
    _run(
        lambda: run(
            data,
            out,
            method=method,
            model=model,
            endpoint=reach | {"timeout": timeout, "max_retries": max_retries},
            batch_size=batch_size,
            settings=rrpo | crome | sampling,
            reading={"split": split, "max_rows": max_rows, "on_bad_rows": on_bad_rows},
            cache=cache,
            dry_run=dry_run,
            given=[name for name in context.params if _is_given(context, name)],
        )
    )


@app.command(name="filter")
def filter_pairs(
    data: Annotated[str, typer.Argument(help="Pairs, with `tie` and `source`: a file, a folder or a hub id.")],
    base: Annotated[str, typer.Option(help="Reward model trained on the original pairs: a folder or a hub id.")],
    out: Annotated[Path, typer.Option(help="New .jsonl file for the pairs that are kept.")],
    tau: Annotated[
        float, typer.Option(help="Pairs whose probability is this close to 1 (ties: to 1/2) are left out.")
    ] = 0.2,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Sequences at once.")] = 16,
    max_length: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max_length", help="Longest sequence in tokens; the model's own limit if not given."),
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of the loaded weights.")] = "float32",
    split: Annotated[Optional[str], typer.Option(help="Split of a folder or hub data set.")] = None,  # noqa: UP045
    on_bad_rows: Annotated[
        str, typer.Option("--on_bad_rows", help="raise, or skip to leave them out and count them.")
    ] = "raise",
) -> None:
    """Keep the pairs that a base reward model is not yet sure of."""
    from align.cli.filter import run

    model = {"batch_size": batch_size, "max_length": max_length, "dtype": dtype}
    _run(lambda: run(data, out, base=base, tau=tau, model=model, split=split, on_bad_rows=on_bad_rows))


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
    from align.cli.deconfound import run

    roles = {"outcome": outcome, "text": text or None, "groups": groups or None, "prompt": prompt or None}
    lists = {"confounders": words(confounders), "instruments": words(instruments)}
    settings = {"estimator": estimator, "on_weak_instrument": on_weak_instrument, "num_folds": num_folds}
    more = {"instrumented": words(instrumented) or None, "max_words": max_words, "seed": seed}
    reading = {"on_missing": on_missing, "on_bad_rows": on_bad_rows, "adapter": adapter, "split": split}
    _run(
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


def main() -> None:
    """Runs the command line."""
    app()


def _run(command: Callable[[], int | None]) -> None:
    """Turns an error that the user can mend into one sentence and exit code 1."""
    from align.errors import UserError

    try:
        code = command()
    except UserError as error:
        typer.secho(f"Error: {error}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
    raise typer.Exit(code or 0)


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"

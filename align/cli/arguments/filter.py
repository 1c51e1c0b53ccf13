"""Arguments of the command that chooses data to train on: filter."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import typer

from align.cli.application import app, execute
from align.cli.options import given_options, takes, values
from align.options import option


@dataclass(frozen=True, kw_only=True)
class Base:
    """How pairs are scored."""

    base: str | None = option(
        None, "Keep pairs: reward model trained on the original pairs, a folder or a hub id. DATA are pairs."
    )
    tau: float = option(0.2, "Pairs whose probability is this close to 1 (ties: to 1/2) are left out.")
    max_length: int | None = option(None, "Longest sequence in tokens; the model's own limit if not given.")


@dataclass(frozen=True, kw_only=True)
class Sampled:
    """How samples of a policy are judged."""

    model: str | None = option(
        None, "Keep samples: policy that answers, a folder or hub id. DATA are prompts with the columns rewards read."
    )
    verifier: str | None = option(
        None, "Reward that accepts samples: a name of `align rewards list`, file.py:function, or a reward model."
    )
    verifier_threshold: float = option(0.0, "Values above it are accepted.")
    pass_rate: str | None = option(
        None, "LOW:HIGH, such as 0.1:0.9: keep the prompts of whose samples so many are accepted, and no samples."
    )
    audit: str | None = option(None, "Reward that knows what is right; the verifier's errors go into the card.")
    right_from: float | None = option(None, "Value of the audit from which a sample is right; 1 if it is 0 or 1.")
    reward_kwargs: str = option("", "Settings of rewards, such as '{number_accuracy: {rel_tol: 0.01}}'.")
    reward_workers: int | None = option(None, "Processes that call rewards; else the recipe's, or none.")
    reward_timeout: float | None = option(None, "Seconds for one sample, with `--reward_workers`.")
    num_samples: int = option(8, "Samples of each prompt.")
    temperature: float = option(1.0, "Of sampling.")
    top_p: float = option(1.0, "Probability mass that sampling keeps.")
    max_new_tokens: int | None = option(None, "Longest sample in tokens; else the recipe's, or 256.")
    seed: int = option(0, "Of sampling.")
    recipe: str | None = option(
        None, "Recipe whose tags, length and columns are used; by default the `recipe.yaml` of the model's run."
    )
    backend: str = option("transformers", "transformers or vllm.")
    device: str | None = option(None, "Where to compute; the accelerator if there is one.")
    max_rows: int | None = option(None, "Read only this many rows.")
    cache: Path | None = option(None, "Folder of the samples, found again after a stop; beside OUT if not given.")


@dataclass(frozen=True, kw_only=True)
class Shared:
    """How rows are read and models run."""

    batch_size: int = option(16, "Sequences at once.")
    dtype: str = option("float32", "Of the loaded weights.")
    split: str | None = option(None, "Split of a folder or hub data set.")
    on_bad_rows: str = option("raise", "raise, or skip to leave them out and count them.")


@app.command(name="filter")
@takes(scoring=Base, sampled=Sampled, shared=Shared)
def filter_rows(
    context: typer.Context,
    data: Annotated[
        str, typer.Argument(help="Pairs (with `tie` and `source`) or prompts: a file, a folder, a hub id.")
    ],
    out: Annotated[Path, typer.Option(help="New .jsonl file for what is kept.")],
    scoring: Base,
    sampled: Sampled,
    shared: Shared,
) -> None:
    """Keep pairs a reward model is not sure of, samples a verifier accepts, or prompts a policy sometimes solves."""
    given = given_options(context)

    def run() -> int:
        from align.cli.filter import run as run_pairs
        from align.cli.filter_words import check_options, run_sampled

        check_options(given, {each.name for each in fields(Base)}, {each.name for each in fields(Sampled)})
        if scoring.base is None:
            return run_sampled(data, out, values(sampled, shared))
        model: dict[str, Any] = {"batch_size": shared.batch_size, "max_length": scoring.max_length}
        return run_pairs(
            data,
            out,
            base=scoring.base,
            tau=scoring.tau,
            model=model | {"dtype": shared.dtype},
            split=shared.split,
            on_bad_rows=shared.on_bad_rows,
        )

    execute(run)

"""Arguments of the command that makes data to train on: augment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from align.cli.application import app, execute
from align.cli.options import given_options, takes, values
from align.methods import METHODS
from align.models.samplers.limits import Limits
from align.options import Media, Reading, option

MADE = {name: method.part("augment_options") for name, method in METHODS.items() if method.augment_options}


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How a model is reached."""

    endpoint: str | None = option(None, "Base URL of an OpenAI-compatible server, such as http://localhost:8000/v1.")
    api_key_env: str | None = option(None, "Variable that holds the API key, if not OPENAI_API_KEY.")
    concurrency: int = option(16, "Calls to the endpoint at once.")
    timeout: float = option(Limits.timeout, "Seconds until a call is late; its connection stays open.")
    late_timeout: float = option(
        Limits.late_timeout, "Seconds more until a late call is made once more, beside the first."
    )
    max_retries: int = option(Limits.max_retries, "How often a call that the server or the network fails is repeated.")
    max_repeats: int = option(
        Limits.max_repeats, "How often is asked again after an answer that is empty, too large or none."
    )
    max_answer_mb: float = option(Limits.max_answer_mb, "Largest answer in megabytes; reading stops there.")
    refusal_timeout: float = option(
        Limits.refusal_timeout, "Seconds that a call is tried on when a key is refused that was accepted before."
    )
    idempotency_header: str | None = option(
        None, "Header, such as Idempotency-Key, by which the server knows a call that is made again."
    )


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a model is sampled."""

    temperature: float | None = option(None, "Of sampling; the method's own if not given.")
    top_p: float = option(1.0, "Of sampling.")
    max_new_tokens: int | None = option(None, "Longest response; the method's own if not given.")
    seed: int = option(0, "Of everything that is drawn.")


@app.command()
@takes(reach=Reach, sampling=Sampling, reading=Reading, media=Media, **MADE)
def augment(
    context: typer.Context,
    data: Annotated[str, typer.Argument(help="Rows to start from: a file, a folder or a hub id.")],
    method: Annotated[str, typer.Option(help=f"What the data is for: {' or '.join(MADE)}.")],
    out: Annotated[Path, typer.Option(help="Folder for the data; the same command continues in it.")],
    reach: Reach,
    sampling: Sampling,
    reading: Reading,
    media: Media,
    model: Annotated[
        str | None, typer.Option(help="A folder or hub id, or with `--endpoint` the name served there.")
    ] = None,
    batch_size: Annotated[int, typer.Option("--batch_size", help="Responses at once without an endpoint.")] = 16,
    conversational: Annotated[
        bool | None, typer.Option(help="Whether prompts are messages; by default if there is a chat template.")
    ] = None,
    cache: Annotated[
        Path | None, typer.Option(help="Folder of the answers, which runs may share; OUT/cache if not given.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry_run", "--dry-run", help="Print the number of calls and tokens; send none.")
    ] = False,
    **own: Any,
) -> None:
    """Make data to train on from a model or from rules, in the form that a method learns from."""
    from align.cli.augment import run

    execute(
        lambda: run(
            data,
            out,
            method=method,
            model=model,
            endpoint=values(reach),
            batch_size=batch_size,
            conversational=conversational,
            own=own,
            sampling=values(sampling),
            reading=values(reading),
            media=values(media),
            cache=cache,
            dry_run=dry_run,
            given=given_options(context),
        )
    )

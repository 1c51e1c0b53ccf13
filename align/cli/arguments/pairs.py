"""Arguments of the commands that make pairs: augment and filter."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from align.cli.application import app, execute, is_given


@app.command()
def augment(
    context: typer.Context,
    data: Annotated[
        str,
        typer.Argument(
            help="A file, a folder or a hub id. rrpo: `prompt`, `reference`, maybe `images`; crome: preference pairs."
        ),
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
        str,
        typer.Option(
            help="rrpo: mask_local_shuffle, mask, global_shuffle, local_shuffle, blur or none. Of images if a row has "
            "some (patches of one, frames of several), else of its text, which cannot be blurred."
        ),
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
    ties_of: Annotated[
        str,
        typer.Option("--ties_of", help="crome: whose answers irrelevant_query takes, of any pair or of the original."),
    ] = "any",
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
    media_dir: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--media_dir", help="rrpo: folder of the images and videos; that of the rows if not given."),
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--num_frames", help="rrpo: frames taken of a video, evenly over its time.")
    ] = 16,
    fps: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="rrpo: frames taken for each second of a video, `num_frames` at most."),
    ] = None,
    max_pixels: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option("--max_pixels", help="rrpo: images and frames with more pixels are made smaller."),
    ] = None,
    frames_dir: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--frames_dir", help="rrpo: where frames are kept, which the pairs name; ~/.cache if not given."),
    ] = None,
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
    crome = {"num_attributes": num_attributes, "neutrals": neutrals, "ties_of": ties_of, "oracle": oracle}
    media = {"num_frames": num_frames, "fps": fps, "max_pixels": max_pixels}
    sampling = {"temperature": temperature, "top_p": top_p, "max_new_tokens": max_new_tokens, "seed": seed}
    execute(
        lambda: run(
            data,
            out,
            method=method,
            model=model,
            endpoint=reach | {"timeout": timeout, "max_retries": max_retries},
            batch_size=batch_size,
            settings=rrpo | crome | sampling,
            reading={"split": split, "max_rows": max_rows, "on_bad_rows": on_bad_rows},
            media=media | {"media_dir": media_dir, "frames_dir": frames_dir},
            cache=cache,
            dry_run=dry_run,
            given=[name for name in context.params if is_given(context, name)],
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
    execute(lambda: run(data, out, base=base, tau=tau, model=model, split=split, on_bad_rows=on_bad_rows))

"""Arguments of the command that evaluates checkpoints: eval."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from align.cli.application import app, execute, is_given
from align.cli.many_words import ManyWords, words

Text = Optional[str]  # noqa: UP045 - typer reads annotations at run time
Count = Optional[int]  # noqa: UP045
Words = Optional[list[str]]  # noqa: UP045


@app.command(name="eval", cls=ManyWords)
def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the results; the same command continues in it.")],
    model: Annotated[Text, typer.Option(help="Policy: folder or hub id of a model or an adapter.")] = None,
    reward_model: Annotated[
        Text, typer.Option("--reward_model", help="Reward model: scalar, pairwise or an adapter.")
    ] = None,
    baseline: Annotated[Words, typer.Option(help="What to compare with, on the same items; several words.")] = None,
    data: Annotated[
        Text,
        typer.Option(help="A file, a folder or a hub id: multiple-choice questions; pairs for a reward model."),
    ] = None,
    split: Annotated[Text, typer.Option(help="Split of a folder or hub data set.")] = None,
    adapter: Annotated[Text, typer.Option(help="Public schema of the questions, such as arc or mmlu.")] = None,
    max_rows: Annotated[Count, typer.Option("--max_rows", help="Read only this many rows.")] = None,
    on_bad_rows: Annotated[
        str, typer.Option("--on_bad_rows", help="raise, or skip to leave them out and count them.")
    ] = "raise",
    suite: Annotated[
        Words,
        typer.Option(
            help="accuracy consistency rotation reliance (all four if not given), modality (too, where questions have "
            "images), best_of_n, lm-eval:TASK (a name or a YAML file)."
        ),
    ] = None,
    media_dir: Annotated[
        Text, typer.Option("--media_dir", help="Folder of the images and videos; that of the questions if not given.")
    ] = None,
    num_frames: Annotated[
        int, typer.Option("--num_frames", help="Frames taken of a video, evenly over its time; else the recipe's.")
    ] = 16,
    fps: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option(help="Frames taken for each second of a video, `num_frames` at most; else the recipe's."),
    ] = None,
    max_pixels: Annotated[
        Count,
        typer.Option("--max_pixels", help="Images and frames with more pixels are made smaller; else the recipe's."),
    ] = None,
    frames_dir: Annotated[
        Text, typer.Option("--frames_dir", help="Where frames are kept for the next run; ~/.cache if not given.")
    ] = None,
    num_shuffles: Annotated[int, typer.Option("--num_shuffles", help="Shuffles of each question's options.")] = 4,
    recipe: Annotated[
        Text,
        typer.Option(
            help="Recipe whose prompt, tags and length are used; by default the `recipe.yaml` of the model's run."
        ),
    ] = None,
    prompt_template: Annotated[
        Text, typer.Option("--prompt_template", help="The prompt, with {question} and {options} once each.")
    ] = None,
    system_prompt: Annotated[Text, typer.Option("--system_prompt", help="Message before every prompt.")] = None,
    conversational: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option(help="Whether prompts are messages; by default if there is a chat template."),
    ] = None,
    think_tag: Annotated[str, typer.Option("--think_tag", help="Tag around traces.")] = "think",
    answer_tag: Annotated[str, typer.Option("--answer_tag", help="Tag around answers.")] = "answer",
    max_new_tokens: Annotated[int, typer.Option("--max_new_tokens", help="Longest response in tokens.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    top_p: Annotated[float, typer.Option("--top_p", help="Probability mass that sampling keeps.")] = 1.0,
    num_samples: Annotated[int, typer.Option("--num_samples", help="Responses to each question.")] = 1,
    seed: Annotated[int, typer.Option(help="Of samples, shuffles and changes to traces.")] = 0,
    common_group: Annotated[
        Text, typer.Option("--common_group", help="Group in which a shortcut helps, for the counter-drop.")
    ] = None,
    counter_group: Annotated[
        Text, typer.Option("--counter_group", help="Group in which the shortcut leads astray.")
    ] = None,
    judge: Annotated[Text, typer.Option(help="Model that reads from traces which option they state.")] = None,
    verifier: Annotated[
        Text, typer.Option(help="best_of_n: scalar reward model that chooses; else the shuffles survived.")
    ] = None,
    verifier_threshold: Annotated[
        float, typer.Option("--verifier_threshold", help="Rewards above it are accepted.")
    ] = 0.0,
    backend: Annotated[str, typer.Option(help="transformers or vllm.")] = "transformers",
    batch_size: Annotated[
        Count, typer.Option("--batch_size", help="Sequences at once; 32 for policies, 16 for reward models.")
    ] = None,
    dtype: Annotated[str, typer.Option(help="Of the loaded weights.")] = "float32",
    device: Annotated[Text, typer.Option(help="Where to compute; the accelerator if there is one.")] = None,
    probes: Annotated[bool, typer.Option("--probes", help="Reward models: probes for shortcuts.")] = False,
    probe_pairs: Annotated[int, typer.Option("--probe_pairs", help="Pairs to probe, drawn at random.")] = 500,
    best_of_n: Annotated[
        Text, typer.Option("--best_of_n", help="Reward models: prompts with candidate responses to choose from.")
    ] = None,
    prompt_format: Annotated[
        str,
        typer.Option(
            "--prompt_format",
            help="Reward models: auto (texts get the chat template if there is one), messages, or data (they stay).",
        ),
    ] = "auto",
    max_length: Annotated[
        Count,
        typer.Option("--max_length", help="Reward models: longest sequence; the model's own limit if not given."),
    ] = None,
) -> None:
    """Evaluate a policy or a reward model against baselines, with intervals, probes and every answer on disk."""
    from align.cli.evaluation.evaluate import run

    options = dict(context.params) | {"baseline": words(baseline), "suite": words(suite)}
    given = {name for name in context.params if is_given(context, name)}
    execute(lambda: run(options, given))

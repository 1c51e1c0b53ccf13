"""Arguments of the command that evaluates checkpoints: eval."""

from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import app, execute
from align.cli.evaluation.options import Asked, Measured, OfRewardModels, Prompts, Sampling
from align.cli.many_words import ManyWords, words
from align.cli.options import Computing, Media, Reading, given_options, takes, values


@app.command(name="eval", cls=ManyWords)
@takes(
    asked=Asked,
    reading=Reading,
    media=Media,
    prompts=Prompts,
    sampling=Sampling,
    measured=Measured,
    computing=Computing,
    of_reward_models=OfRewardModels,
)
def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the results; the same command continues in it.")],
    asked: Asked,
    **groups: object,
) -> None:
    """Evaluate a policy or a reward model against baselines, with intervals, probes and every answer on disk."""
    from align.cli.evaluation.evaluate import run

    lists = {"baseline": words(asked.baseline), "suite": words(asked.suite)}
    execute(lambda: run(values(asked, *groups.values()) | lists | {"out": out}, given_options(context)))

"""Arguments of the command that evaluates checkpoints: eval."""

from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import app, execute
from align.cli.evaluation.options import (
    Asked,
    ByRewards,
    Measured,
    OfRewardModels,
    OfSuites,
    OnPairs,
    Parts,
    Prompts,
    Sampling,
)
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
    by_rewards=ByRewards,
    on_pairs=OnPairs,
    of_suites=OfSuites,
    computing=Computing,
    of_reward_models=OfRewardModels,
    parts=Parts,
)
def evaluate(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder for the results; the same command continues in it.")],
    asked: Asked,
    by_rewards: ByRewards,
    parts: Parts,
    of_suites: OfSuites,
    **groups: object,
) -> None:
    """Evaluate a policy or a reward model against baselines, with intervals, probes and every answer on disk."""
    from align.cli.evaluation.evaluate import run

    lists = {name: words(getattr(asked, name)) for name in ("baseline", "suite")}
    lists |= {name: words(getattr(by_rewards, name)) for name in ("rewards", "pass_at_k")}
    lists |= {"merge": words(parts.merge), "families": words(of_suites.families)}
    given = values(asked, by_rewards, parts, of_suites, *groups.values())
    execute(lambda: run(given | lists | {"out": out}, given_options(context)))

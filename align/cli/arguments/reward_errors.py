"""Arguments of `align rewards measure`."""

from dataclasses import replace
from typing import Annotated

import typer

from align.cli.application import ManyWords, execute, words
from align.cli.arguments.rewards import rewards_app
from align.cli.options import takes
from align.services.options import MeasuringErrors


@rewards_app.command(cls=ManyWords)
@takes(how=MeasuringErrors)
def measure(
    subject: Annotated[
        str,
        typer.Argument(metavar="REWARD", help="A name, package.module.function, file.py:function, or reward model."),
    ],
    how: MeasuringErrors,
    json: Annotated[bool, typer.Option("--json", help="Print what was measured as JSON.")] = False,
) -> None:
    """Say how often a reward refuses right answers and pays wrong ones; exit with 2 where it cannot be told."""
    from align.cli.reward_errors import measure_reward

    given = replace(how, labelled=[*words(how.labelled)], fail_on=[*words(how.fail_on)])
    execute(lambda: measure_reward(subject, json, given))

"""Arguments of the commands around rewards: rewards check, attack, new, export and list."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import Application, app, execute, words
from align.cli.arguments.recipes import OVERRIDES
from align.cli.completion import WithKeys, recipes
from align.cli.options import takes
from align.services.options import Attacking, RewardChecking

Kwargs = Annotated[str, typer.Option("--reward_kwargs", help="Settings of one reward, such as '{max_length: 200}'.")]
Json = Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")]
Subject = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE_OR_REWARD",
        autocompletion=recipes,
        help="A recipe (`--key value` overrides it), or a reward: name, module.function, file.py:function, or model.",
    ),
]
rewards_app = Application(help="Find, start and check rewards.", no_args_is_help=True)
app.add_typer(rewards_app, name="rewards")


@rewards_app.command(cls=WithKeys, context_settings=OVERRIDES)
@takes(how=RewardChecking)
def check(context: typer.Context, subject: Subject, how: RewardChecking, json: Json = False) -> None:
    """Call rewards as TRL does, on right, wrong and odd responses, and say what would stop or spoil training."""
    from align.cli.findings import check_rewards

    execute(lambda: check_rewards(subject, context.args, json, how))


@rewards_app.command(cls=WithKeys, context_settings=OVERRIDES)
@takes(how=Attacking)
def attack(
    context: typer.Context,
    subject: Subject,
    how: Attacking,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail_on",
            help="Exit with 1 on any of: gamed, soft, beside, misread, form, unclear, failed, let_in.",
        ),
    ] = None,
    beside: Annotated[
        str, typer.Option("--beside", help="An older version of the reward: say what the change let in and shut out.")
    ] = "",
    json: Json = False,
) -> None:
    """Say what rewards pay without a right answer, by cheap hacks; exit with 2 where that cannot be told.

    Several rewards may be named, and all of a file as 'mine.py:*'.
    """
    from align.cli.attacks import attack_rewards

    given = replace(how, hacks=[*words(how.hacks)])
    execute(lambda: attack_rewards(subject, context.args, json, words(fail_on), given, beside))


@rewards_app.command(cls=WithKeys, context_settings=OVERRIDES)
@takes(how=Attacking)
def certify(
    context: typer.Context,
    subject: Subject,
    how: Attacking,
    out: Annotated[Path, typer.Option(help="Folder of the card; of several rewards, of one folder for each.")],
) -> None:
    """Check and attack rewards, and write what was asked and found as card.json and card.html."""
    from align.cli.attacks import certify_rewards

    given = replace(how, hacks=[*words(how.hacks)])
    execute(lambda: certify_rewards(subject, context.args, out, given))


@rewards_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the reward: a Python name, such as brevity.")],
    folder: Annotated[Path, typer.Option(help="Where NAME.py and test_NAME.py are written.")] = Path(),
) -> None:
    """Write a reward to start from, with its own test beside it."""
    from align.cli.rewards import new_reward

    execute(lambda: new_reward(name, folder))


@rewards_app.command()
def export(
    subject: Annotated[
        str, typer.Argument(metavar="REWARD", help="A name, package.module.function, or file.py:function.")
    ],
    framework: Annotated[str, typer.Option("--for", help="verl, openrlhf, ms-swift, verifiers or prime-rl.")],
    out: Annotated[Path | None, typer.Option(help="The file; NAME_FRAMEWORK.py if not given.")] = None,
    reward_kwargs: Kwargs = "",
    answer: Annotated[
        str | None,
        typer.Option(help="Column of the right answer for the reward; by default found by its name."),
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds for one completion.")] = 60.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that call it, in each process that trains.")] = 1,
) -> None:
    """Write a short file by which another framework calls a reward, guarded as in `align train`."""
    from align.cli.rewards import export_reward

    execute(
        lambda: export_reward(subject, framework, out, reward_kwargs, answer=answer, timeout=timeout, workers=workers)
    )


@rewards_app.command(name="list")
def list_rewards() -> None:
    """List the rewards that a recipe can name: built-in ones, and those that installed packages ship."""
    from align.cli import rewards

    execute(rewards.list_rewards)

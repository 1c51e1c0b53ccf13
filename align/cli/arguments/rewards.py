"""Arguments of the commands around rewards: rewards check, attack, certify, new, list and measure."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from align.cli.application import Application, ManyWords, app, execute, words
from align.cli.arguments.recipes import OVERRIDES
from align.cli.completion import WithKeys, recipes
from align.cli.options import takes
from align.services.options import Attacking, AttackingOnPage, MeasuringErrors, RewardChecking

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
@takes(how=AttackingOnPage)
def attack(
    context: typer.Context,
    how: AttackingOnPage,
    subject: Subject = "",
    fail_on: Annotated[
        list[str] | None,
        typer.Option(
            "--fail_on",
            help="Exit with 1 on: gamed, soft, beside, misread, handed, weak, form, unclear, failed, let_in.",
        ),
    ] = None,
    beside: Annotated[
        str, typer.Option("--beside", help="An older version of the reward: say what the change let in and shut out.")
    ] = "",
    json: Json = False,
) -> None:
    """Say what rewards pay without a right answer, by cheap hacks; exit with 2 where that cannot be told.

    Several rewards may be named, and all of a file as 'mine.py:*'. With tools or an environment, of a recipe or
    named here, hacks are episodes: nothing done, work claimed, a call that judges the work first, in the middle or
    twice, one call 50 times, failing calls, empty and extreme arguments, echoes of prompt and results, answers tried
    against a tool, files and code that are judged written over, work undone, another episode's work, a clock that
    runs. Each is played in a copy of the process and of the folder of FILE, and paid as in training. An honest
    episode is found by handing each column to each tool, or given by `--samples`, messages or a list of calls such as
    [{"name": "buy", "arguments": {"item": "pen"}}]; without one, pays are told and the exit code is 2.
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


@rewards_app.command(name="list")
def list_rewards() -> None:
    """List the rewards that a recipe can name: built-in ones, and those that installed packages ship."""
    from align.cli import rewards

    execute(rewards.list_rewards)


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

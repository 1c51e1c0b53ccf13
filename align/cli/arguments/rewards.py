"""Arguments of the commands around rewards: rewards check, attack, new, export and list."""

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from align.cli.application import Application, app, execute, words
from align.cli.arguments.recipes import OVERRIDES
from align.cli.completion import WithKeys, recipes

# Optional: typer reads annotations at run time.
Words = Optional[list[str]]  # noqa: UP045
Kwargs = Annotated[str, typer.Option("--reward_kwargs", help="Settings of one reward, such as '{max_length: 200}'.")]
Json = Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")]
Subject = Annotated[
    str,
    typer.Argument(
        metavar="RECIPE_OR_REWARD",
        autocompletion=recipes,
        help="A recipe (`--key value` overrides it), or a reward: a name, package.module.function, "
        "file.py:function, or the folder or hub id of a reward model.",
    ),
]
Data = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Rows to try it on: a file, a folder or a hub id. Without it, rows are made up."),
]
Columns = Annotated[
    str,
    typer.Option(
        help="Columns that have another name in the rows, as `dataset.columns` of a recipe, such as "
        "'{prompt: question, options: [A, B, C, D]}'."
    ),
]
MaxSeconds = Annotated[
    float,
    typer.Option(
        "--max_seconds", help="Seconds for all calls of a reward, roughly; slow ones are tried on fewer rows."
    ),
]
rewards_app = Application(help="Find, start and check rewards.", no_args_is_help=True)
app.add_typer(rewards_app, name="rewards")


@rewards_app.command(cls=WithKeys, context_settings=OVERRIDES)
def check(
    context: typer.Context,
    subject: Subject,
    data: Data = None,
    columns: Columns = "",
    reward_kwargs: Kwargs = "",
    completions_per_step: Annotated[
        int,
        typer.Option(
            "--completions_per_step", min=1, help="Completions of a step in one process, to estimate its time."
        ),
    ] = 64,
    time_limit: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--time_limit", help="Seconds for one call, after which a reward hangs; 5 if not given."),
    ] = None,
    max_seconds: MaxSeconds = 20.0,
    json: Json = False,
) -> None:
    """Call rewards as TRL does, on right, wrong and odd responses, and say what would stop or spoil training."""
    from align.cli.findings import check_rewards

    execute(lambda: check_rewards(subject, context.args, json, **_how(context)))


@rewards_app.command(cls=WithKeys, context_settings=OVERRIDES)
def attack(
    context: typer.Context,
    subject: Subject,
    data: Data = None,
    columns: Columns = "",
    reward_kwargs: Kwargs = "",
    samples: Annotated[
        str, typer.Option(help="Column with honest responses, one text or a list, for rows without a right answer.")
    ] = "",
    hacks: Annotated[Words, typer.Option(help="Hacks of your own beside ours, such as mine.py:f.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows that are used, from all over the data.")] = 64,
    max_length: Annotated[int, typer.Option("--max_length", min=1, help="Characters that a hack may have.")] = 4000,
    time_limit: Annotated[float, typer.Option("--time_limit", help="Seconds for one call of few rows.")] = 5.0,
    max_seconds: MaxSeconds = 60.0,
    fail_on: Annotated[
        Words,
        typer.Option(
            "--fail_on", help="Exit with 1 on any of these findings: gamed, beside, misread, unclear, failed."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Try cheap hacks against rewards, and say which earn as much as honest answers."""
    from align.cli.findings import attack_rewards

    how = _how(context) | {"hacks": words(hacks)}
    execute(lambda: attack_rewards(subject, context.args, json, words(fail_on), **how))


def _how(context: typer.Context) -> dict[str, Any]:
    """Returns the options that a service takes by their names."""
    return {name: each for name, each in context.params.items() if name not in ("subject", "json", "fail_on")}


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
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="The file; NAME_FRAMEWORK.py if not given."),
    ] = None,
    reward_kwargs: Kwargs = "",
    answer: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Column in which the reward reads the right answer; found by its name if not given."),
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

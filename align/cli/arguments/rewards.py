"""Arguments of the commands around rewards: rewards check, attack, new, export and list."""

from pathlib import Path
from typing import Annotated, Optional

import typer

from align.cli.application import Application, app, execute, words
from align.cli.completion import WithKeys, recipes

# Optional: typer reads annotations at run time.
Words = Optional[list[str]]  # noqa: UP045
Kwargs = Annotated[str, typer.Option("--reward_kwargs", help="Settings of one reward, such as '{max_length: 200}'.")]
rewards_app = Application(help="Find, start and check rewards.", no_args_is_help=True)
app.add_typer(rewards_app, name="rewards")


@rewards_app.command(cls=WithKeys, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def check(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE_OR_REWARD",
            autocompletion=recipes,
            help="A recipe (`--key value` overrides it), or a reward: a name, package.module.function, "
            "file.py:function, or the folder or hub id of a reward model.",
        ),
    ],
    data: Annotated[
        Optional[str],  # noqa: UP045 - typer reads the annotation at run time
        typer.Option(help="Rows to try it on: a file, a folder or a hub id. Without it, rows are made up."),
    ] = None,
    columns: Annotated[
        str,
        typer.Option(
            help="Columns that have another name in the rows, as `dataset.columns` of a recipe, such as "
            "'{prompt: question, options: [A, B, C, D]}'."
        ),
    ] = "",
    reward_kwargs: Kwargs = "",
    completions_per_step: Annotated[
        int, typer.Option("--completions_per_step", min=1, help="Of one process, for the time of a step.")
    ] = 64,
    time_limit: Annotated[
        Optional[float],  # noqa: UP045
        typer.Option("--time_limit", help="Seconds for one call, after which a reward hangs; 5 if not given."),
    ] = None,
    max_seconds: Annotated[
        float, typer.Option("--max_seconds", help="For all calls of a reward, about; slow ones are tried on less.")
    ] = 20.0,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Call rewards as TRL does, on right, wrong and odd responses, and say what would stop or spoil training."""
    from align.cli.findings import check_rewards

    execute(
        lambda: check_rewards(
            subject,
            context.args,
            json,
            data=data,
            columns=columns,
            reward_kwargs=reward_kwargs,
            completions_per_step=completions_per_step,
            time_limit=time_limit,
            max_seconds=max_seconds,
        )
    )


@rewards_app.command(cls=WithKeys, context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def attack(
    context: typer.Context,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="RECIPE_OR_REWARD",
            autocompletion=recipes,
            help="A recipe (`--key value` overrides it), or a reward: a name, package.module.function, or "
            "file.py:function.",
        ),
    ],
    data: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(help="Rows to attack it on: a file, a folder or a hub id. Without it, rows are made up."),
    ] = None,
    columns: Annotated[str, typer.Option(help="Columns of another name, such as '{prompt: question}'.")] = "",
    reward_kwargs: Kwargs = "",
    samples: Annotated[
        str, typer.Option(help="Column with honest responses, one text or a list, for rows without a right answer.")
    ] = "",
    hacks: Annotated[Words, typer.Option(help="Hacks of your own beside ours, such as mine.py:f.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows that are used, from all over the data.")] = 64,
    max_length: Annotated[int, typer.Option("--max_length", min=1, help="Characters that a hack may have.")] = 4000,
    time_limit: Annotated[
        float, typer.Option("--time_limit", min=0.01, help="Seconds for one call, and a tenth for each of its rows.")
    ] = 5.0,
    max_seconds: Annotated[
        float, typer.Option("--max_seconds", min=0.1, help="For each reward, about; slow ones are tried on less.")
    ] = 60.0,
    fail_on: Annotated[
        Words, typer.Option("--fail_on", help="Exit with 1 if any is said: gamed, beside, misread, unclear, failed.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Try cheap hacks against rewards, and say which earn as much as honest answers."""
    from align.cli.findings import attack_rewards

    execute(
        lambda: attack_rewards(
            subject,
            context.args,
            json,
            words(fail_on),
            data=data,
            columns=columns,
            reward_kwargs=reward_kwargs,
            samples=samples,
            hacks=words(hacks),
            limit=limit,
            max_length=max_length,
            time_limit=time_limit,
            max_seconds=max_seconds,
        )
    )


@rewards_app.command()
def new(
    name: Annotated[str, typer.Argument(help="Of the reward: a Python name, such as brevity.")],
    folder: Annotated[Path, typer.Option(help="Where NAME.py and test_NAME.py are written.")] = Path(),
) -> None:
    """Write a reward to start from, with its own test beside it."""
    from align.cli.rewards import new_reward

    execute(lambda: new_reward(name, folder))


@rewards_app.command()
def export(
    subject: Annotated[
        str,
        typer.Argument(metavar="REWARD", help="A name, package.module.function, or file.py:function."),
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

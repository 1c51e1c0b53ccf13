"""Arguments of the commands that evaluate checkpoints: eval, with a command for each suite, and merge."""

from collections.abc import Callable
from dataclasses import field, fields, make_dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer
from typer.core import TyperGroup

from align.cli.application import Application, ManyWords, app, execute, words
from align.cli.arguments.recipes import OVERRIDES
from align.cli.options import given_options, takes
from align.services.options import Merged

ANY = "any"  # the command that tells the suite by the rows


class Suites(TyperGroup):
    """A group whose first word may be left out: the rows tell the suite. Its commands are made when it is called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts in the name of the command that takes every option."""
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = [ANY, *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names the suites, in their order."""
        return list(suite_commands())

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Returns the command of a suite."""
        return suite_commands().get(cmd_name.replace("_", "-"))


suites = Application(
    cls=Suites,
    no_args_is_help=True,
    help="Evaluate a policy or a reward model against baselines, with intervals and every answer on disk.\n\n"
    "`align eval --model DIR --data FILE --out DIR` tells the suite by the rows and takes the options of all suites; "
    "`align eval any --help` lists them.",
)
suites.callback()(lambda: None)
app.add_typer(suites, name="eval")


@cache
def suite_commands() -> dict[str, Any]:
    """Makes a command of each suite, and one that takes the options of all."""
    from align.evaluation.suites import all_suites

    made = Application()
    for each in all_suites().values():
        _add(made, each.name.replace("_", "-"), each.about, each.options, partial(_evaluate, each))
    about = "Every option of every suite; which ones go together is told by the rows."
    _add(made, ANY, about, _every_option(), partial(_evaluate, None), hidden=True)
    return typer.main.get_command(made).commands  # type: ignore[attr-defined]


def _evaluate(suite: Any, options: Any, given: set[str]) -> None:
    from align.cli.evaluation import run

    run(suite, options, given)


def _add(
    made: Application,
    name: str,
    about: str,
    options: Any,
    act: Callable[[Any, set[str]], None],
    *,
    hidden: bool = False,
) -> None:
    def run(context: typer.Context, group: Any) -> None:
        lists = [each.name for each in fields(group) if "list[str]" in str(each.type)]
        found = replace(group, **{each: words(getattr(group, each)) for each in lists})
        execute(lambda: act(found, given_options(context)))

    run.__doc__ = about
    command: Callable[..., None] = takes(in_panels=not hidden, group=options)(run)
    made.command(name=name, cls=ManyWords, size="eval", hidden=hidden)(command)


def _every_option() -> type:
    """Joins the options of all suites; what several have is described as the first one does."""
    from align.evaluation.suites import all_suites

    joined: dict[str, tuple[str, Any, Any]] = {}
    for suite in all_suites().values():
        hints = get_type_hints(suite.options)
        for each in suite.fields:
            is_whose = each.name in ("model", "reward_model")  # one of the two
            default = None if is_whose else each.default
            kind = str | None if is_whose else hints[each.name]
            joined.setdefault(each.name, (each.name, kind, field(default=default, metadata=dict(each.metadata))))
    return make_dataclass("EveryOption", joined.values(), kw_only=True, frozen=True)


@app.command(size="eval")
def chat(
    model: Annotated[str, typer.Argument(help="Policy: folder or hub id of a model or an adapter.")],
    beside: Annotated[str | None, typer.Option(help="Another that answers each line, too, such as its base.")] = None,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max_new_tokens", help="Longest answer in tokens; the run's if not given, else 256."),
    ] = None,
) -> None:
    """Answer lines of the terminal, or of a pipe, with a trained model, asked as its run asked it."""
    from align.services.chat import chat

    execute(lambda: chat(model, beside, temperature, max_new_tokens))


@app.command(cls=ManyWords, size="eval", context_settings=OVERRIDES)
@takes(merged=Merged)
def merge(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="Folder of the merged model, or of several with their evaluation.")],
    merged: Merged,
) -> None:
    """Merge a trained model with its base, (1 - alpha) base + alpha tuned, and say what each weight is worth.

    With `--data`, other options are those of `align eval`.
    """

    def run(asked: Any, given: set[str]) -> None:
        from align.cli.evaluation import show, show_merging
        from align.services.merge import merge_models

        record = merge_models(merged, words(merged.alpha), out, asked, given - {"data", "out"}, show)
        if record is not None:
            show_merging(record, out)

    made = Application()
    _add(made, "merge", "", _every_option(), run, hidden=True)
    command = typer.main.get_command(made)
    data = [] if merged.data is None else ["--data", merged.data]
    with command.make_context("merge", ["--out", str(out), *data, *context.args], parent=context.parent) as asking:
        command.invoke(asking)

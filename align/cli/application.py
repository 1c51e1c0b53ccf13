"""The one command line application, which `arguments` fills, and what its commands make of their words."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from align.errors import asked_by

LARGEST = 2**63 - 1  # what the libraries below count with
MEANT = ("system_prompt", "content_free")  # texts for a model, which may be empty


class Command(TyperCommand):
    """A command that refuses an empty word, in place of taking it for the current folder, or for nothing.

    Attributes:
        size: Of an install, without which it is refused before anything else; what else it turns out to need is said
            in the same words.
    """

    size: str | None = None

    def __init__(self, *words: Any, **settings: Any) -> None:
        """Leaves tables out of its help: at 80 columns they cut the names of options."""
        super().__init__(*words, **settings | {"rich_markup_mode": None})

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Looks at the words before they are read; those of other options are not its own."""
        flags = {flag: option for option in self.params for flag in option.opts}
        before = ""
        for word in args:
            name, equals, value = word.partition("=")
            option = flags.get(name if equals else before)
            takes_it = option is not None and not getattr(option, "is_flag", False)
            if (equals and not value and takes_it) or (not word and (takes_it or not before.startswith("--"))):
                _refuse(ctx, option if takes_it else None)
            before = word
        left = super().parse_args(ctx, args)
        for option in self.params:
            value = ctx.params.get(option.name)
            if isinstance(value, int) and abs(value) > LARGEST:
                raise typer.BadParameter(f"`{option.opts[0]}` must be at most {LARGEST:,}, got {value}.", ctx=ctx)
        return left

    def invoke(self, ctx: Any) -> Any:
        """Runs the command, where remedies name its options."""
        from rewards.extras import missing, too_small

        what = f"`{ctx.command_path}`"
        leaves_out = any(param.name == "on_bad_rows" for param in self.params)
        sentence = missing(self.size, what) if self.size else ""
        try:
            if not sentence:
                with asked_by("command" if leaves_out else "none"):
                    return super().invoke(ctx)
        except ModuleNotFoundError as error:
            sentence = too_small(what, error)
            if not sentence:
                raise
        typer.secho(f"Error: {sentence}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1)


def _refuse(ctx: Any, option: Any) -> None:
    if option is not None and (option.name in MEANT or option.default == ""):
        return
    named = "A word" if option is None else f"`{option.opts[0]}`"
    raise typer.BadParameter(
        f"{named} is empty. Give it a value, or leave it out; a variable of the shell that is not set is empty.",
        ctx=ctx,
    )


class ManyWords(Command):
    """A command whose list options take every word up to the next option; commas and repetition work, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeats the name of a list option before each of its words."""
        names = {name for option in self.params if option.multiple for name in option.opts}
        return super().parse_args(ctx, list(_repeat(names, args)))


def words(values: Iterable[str] | None) -> tuple[str, ...]:
    """Splits the values of a list option at commas, but not within the path of a folder or file that is there.

    Example:
        >>> words(["popularity,hour", "week"])
        ('popularity', 'hour', 'week')
    """
    return tuple(word for value in values or () for word in _split(value))


def _split(value: str) -> Iterator[str]:
    parts = value.split(",")
    while parts:
        size = next((many for many in range(len(parts), 1, -1) if _is_path(",".join(parts[:many]))), 1)
        if word := ",".join(parts[:size]).strip():
            yield word
        parts = parts[size:]


def _is_path(word: str) -> bool:
    """Tells whether a word is the path of something, or a function in such a file."""
    place, _, name = word.rpartition(":")
    return os.path.exists(word.strip()) or ("," not in name and os.path.exists(place.strip()))


def _repeat(names: set[str], args: list[str]) -> Iterable[str]:
    current, has_value = "", False
    for word in args:
        if word.startswith("--"):
            current, has_value = (word if word in names else ""), False
        elif current and has_value:
            yield current
        else:
            has_value = True
        yield word


class Application(typer.Typer):
    """An application whose commands refuse words that are empty."""

    def command(self, name: str | None = None, *, cls: Any = Command, size: str | None = None, **settings: Any) -> Any:
        """Registers a command, as typer does, and the size of an install that it needs."""
        return super().command(name, cls=type(cls.__name__, (cls,), {"size": size}) if size else cls, **settings)


app = Application(
    help="Alignment training on TRL with rewards that are checked, consistent and causal.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_versions(asked: bool) -> None:
    if asked:
        from align.versions import LIBRARIES, installed_versions

        found = installed_versions()
        for name in LIBRARIES:
            print(name, found[name] or "not installed")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_versions, is_eager=True, help="Show versions, to name in a bug report."
        ),
    ] = False,
) -> None: ...


def execute(command: Callable[[], int | None]) -> None:
    """Runs a command; an error that the user can mend, or of a file, becomes one sentence and exit code 1."""
    from align.cli.process import word_file_error
    from align.errors import UserError
    from align.secrets import mask

    try:
        code = command()
    except UserError as error:
        typer.secho(f"Error: {mask(str(error))}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
    except (OSError, RuntimeError) as error:  # pathlib raises the second where links lead in a circle
        of_file = error if isinstance(error, OSError) else error.__context__
        sentence = word_file_error(of_file) if isinstance(of_file, OSError) else None
        if sentence is None:
            raise
        typer.secho(f"Error: {mask(sentence)}", fg=typer.colors.RED, err=True)
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        typer.echo("Stopped by Ctrl-C.", err=True)
        raise typer.Exit(130) from None  # 128 + SIGINT, as shells write it
    raise typer.Exit(code or 0)

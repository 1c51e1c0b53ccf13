"""The one command line application, which `arguments` fills."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from align.cli.given_words import Command


class Application(typer.Typer):
    """An application whose commands refuse words that are empty."""

    def command(self, name: str | None = None, *, cls: Any = Command, **settings: Any) -> Any:
        """Registers a command, as typer does."""
        return super().command(name, cls=cls, **settings)


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
    from align.cli.file_errors import word_file_error
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

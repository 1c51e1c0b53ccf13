"""The command line with every command."""

from align.cli.application import app

# Importing them adds their commands, in the order of the help.
# isort: off
import align.cli.arguments.recipes
import align.cli.arguments.pairs
import align.cli.arguments.outcomes
import align.cli.arguments.machine
import align.cli.evaluation.arguments
import align.cli.arguments.rewards  # noqa: F401
# isort: on


def main() -> None:
    """Runs the command line."""
    app()

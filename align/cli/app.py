"""The command line with every command."""

from importlib import import_module

from align.cli.application import app
from align.methods import METHODS

# Importing them adds their commands, in the order of the help.
# isort: off
import align.cli.arguments.recipes
import align.cli.arguments.data
import align.cli.arguments.evaluation
import align.cli.arguments.rewards  # noqa: F401

# isort: on
for method in METHODS.values():
    if method.arguments:
        import_module(method.arguments)


def main() -> None:
    """Runs the command line."""
    app()

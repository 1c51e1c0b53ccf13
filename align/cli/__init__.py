"""The command `align`; every command imports what it needs when it runs, so that help is instant."""

import gc
import os
import sys

from align import services


def main() -> None:
    """Runs the command line."""
    services.is_whole_process = True
    gc.set_threshold(10_000)  # imports make half a million objects and no garbage; looking for some took a second
    from align.cli.app import main as run  # not before: it asks methods for their options, which import from here
    from align.cli.process import outlast_readers, word_file_error

    outlast_readers()
    try:
        os.getcwd()
    except FileNotFoundError:  # which libraries meet where they are imported, and one ends in a crash
        sys.stderr.write("Error: The current folder is gone. Change into one that is there.\n")
        raise SystemExit(1) from None
    try:
        try:
            run()
        finally:
            sys.stdout.flush()
    except OSError as error:  # of help and versions, which are printed before a command runs
        if (sentence := word_file_error(error)) is None:
            raise
        sys.stderr.write(f"Error: {sentence}\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is still buffered would fail again as Python ends
        raise SystemExit(1) from None


def run_command(*words: str) -> int:
    """Runs a command in this process, as notebooks and scripts do, and returns its exit code.

    What is imported once serves all commands; in a shell each imports anew.

    Example:
        >>> run_command("recipes", "--help")  # doctest: +ELLIPSIS
        Usage: align recipes [OPTIONS]
        ...
        0
    """
    from align.cli.app import app

    return int(app(list(words), prog_name="align", standalone_mode=False) or 0)

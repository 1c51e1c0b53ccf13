"""The command `align`; every command imports what it needs when it runs, so that help is instant."""

from align.cli.app import main

__all__ = ["main"]

"""The command `align`; every command imports what it needs when it runs, so that help is instant."""


def main() -> None:
    """Runs the command line."""
    from align.cli.app import main as run  # not before: it asks methods for their options, which import from here

    run()

"""What a command line gives: an empty word is most often a variable of the shell that is not set."""

from typing import Any

import typer
from typer.core import TyperCommand

from align.errors import asked_by

LARGEST = 2**63 - 1  # what the libraries below count with
MEANT = ("system_prompt", "content_free")  # texts for a model, which may be empty


class Command(TyperCommand):
    """A command that refuses an empty word, in place of taking it for the current folder, or for nothing."""

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
        leaves_out = any(param.name == "on_bad_rows" for param in self.params)
        with asked_by("command" if leaves_out else "none"):
            return super().invoke(ctx)


def _refuse(ctx: Any, option: Any) -> None:
    if option is not None and (option.name in MEANT or option.default == ""):
        return
    named = "A word" if option is None else f"`{option.opts[0]}`"
    raise typer.BadParameter(
        f"{named} is empty. Give it a value, or leave it out; a variable of the shell that is not set is empty.",
        ctx=ctx,
    )

"""Completion in the shell: recipes, methods, and as `--NAME` the keys that the recipe on the line may hold."""

from typing import Any

from align.cli.application import Command
from align.methods import METHODS


class WithKeys(Command):
    """A command on a recipe, whose keys are options while a line is completed; else they are read as extra words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Notes the words of the line, in which the recipe stands."""
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """Lists the options, and in completion the keys that none of them has the name of."""
        own = super().get_params(ctx)
        if not ctx.resilient_parsing:
            return own
        from align.cli.keys import key_options

        taken = {flag for option in own for flag in option.opts}
        return own + key_options(ctx.meta.get(__name__, []), taken)


def recipes(incomplete: str) -> list[str]:
    """Lists the shipped recipes that begin so; what is none of them, the shell completes as a file."""
    from align.assets import shipped_recipes

    return [name for name in shipped_recipes() if name.startswith(incomplete)]


def methods(incomplete: str) -> list[str]:
    """Lists the methods that begin so."""
    return [name for name in METHODS if name.startswith(incomplete)]

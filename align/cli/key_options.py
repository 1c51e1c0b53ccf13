"""The keys of a recipe as options of a command, for completion."""

import inspect
from collections.abc import Iterable, Sequence, Set
from typing import Annotated, Any

import typer
from rich.markup import escape

from align.assets import find_recipe
from align.cli.keys import first_sentence
from align.errors import UserError
from align.methods import METHODS
from align.recipe.keys import Key, keys_of
from align.recipe.yaml_loader import load_yaml


def key_options(words: Sequence[str], taken: Set[str]) -> list[Any]:
    """Makes options of the keys that the first recipe among the words may hold, but for those that are taken."""
    return _options(key for key in _keys_on(words) if f"--{key.name}" not in taken and key.name != "method")


def _keys_on(words: Sequence[str]) -> tuple[Key, ...]:
    for word in words:
        try:
            method = load_yaml(find_recipe(word)).get("method")
        except UserError:
            continue
        return keys_of(method) if method in METHODS else ()
    return ()


def _options(keys: Iterable[Key]) -> list[Any]:
    """Makes options as typer does, which reads them off a function."""

    def command(**given: str) -> None: ...

    only = inspect.Parameter.KEYWORD_ONLY
    made = [inspect.Parameter(f"key_{i}", only, default="", annotation=_option(key)) for i, key in enumerate(keys)]
    command.__signature__ = inspect.Signature(made)  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in made}
    app = typer.Typer(add_completion=False)
    app.command()(command)
    return typer.main.get_command(app).params


def _option(key: Key) -> Any:
    values = ("true", "false") if key.type is bool else key.choice_words

    def complete(incomplete: str) -> list[str]:
        return [value for value in values if value.startswith(incomplete)]

    return Annotated[str, typer.Option(f"--{key.name}", help=escape(first_sentence(key)), autocompletion=complete)]

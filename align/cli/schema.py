"""`align schema`: the keys of a method for editors."""

import json
from pathlib import Path

from align.assets import asset_dir
from align.errors import UserError
from align.methods import METHODS
from align.recipe.method_key import method_of
from align.recipe.schema import schema_of
from align.whole_files import write_whole


def run(method: str | None, *, write: bool) -> None:
    """Prints the JSON Schema of a method, or writes those that the shipped recipes name.

    Raises:
        UserError: If they cannot be written.
    """
    names = METHODS if method is None else [method_of({"method": method})]
    if not write:
        print(*(json.dumps(schema_of(name), indent=2, ensure_ascii=False) for name in names))
        return
    try:
        for name in names:
            write_whole(schema_path(name), json.dumps(schema_of(name), ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(
            f"{error.filename or schema_path(name)} cannot be written: {error.strerror}. `align schema {name} > "
            f"FILE.json` prints the same schema, and `# yaml-language-server: $schema=FILE.json` as the first line "
            "of a recipe names it."
        ) from error
    print(f"Editors find the keys of the shipped recipes in {schema_path(name).parent}.")


def schema_path(method: str) -> Path:
    """Returns where a shipped recipe of a method has its schema, which `align schema --write` makes."""
    return asset_dir("recipes").parent / ".schemas" / f"{method}.json"

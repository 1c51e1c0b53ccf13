"""The private names of TRL that trainers override or read, held against the TRL that is installed, not imported."""

import ast
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from packaging.version import Version

from align.checks.finding import Finding
from align.recipe.fields import find_definition, source_text
from align.recipe.recipe import Recipe


@cache
def hook_table() -> dict[str, Any]:
    """Reads the newest TRL that was tested whole, its hooks with hash and duty, and what else is counted on."""
    table: dict[str, Any] = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return table


def source_hash(file: str, name: str) -> str:
    """Hashes a function of TRL without its docstring, comment lines and blank lines; "gone" where it is not there."""
    try:
        node = find_definition(("trl", file), name)
    except (LookupError, OSError):
        return "gone"
    told = range(node.body[0].lineno, node.body[0].end_lineno + 1) if ast.get_docstring(node) else ()
    lines = enumerate(source_text(("trl", file)).splitlines()[node.lineno - 1 : node.end_lineno], node.lineno)
    kept = [line for number, each in lines if number not in told and (line := each.strip()) and line[0] != "#"]
    return sha256("\n".join(kept).encode()).hexdigest()[:8]


def moved_hooks(of: Callable[[str], bool] = bool) -> Iterator[str]:
    """Yields what the installed TRL has otherwise than the tested one, with what it must do; `of` picks files."""
    table = hook_table()
    for file, hooks in (*table["hooks"].items(), *table["leans"].items()):
        for name, told in hooks.items() if of(file) else ():
            known, _, duty = told.partition(" ")
            if source_hash(file, name) != known:
                yield f"{name} ({duty})"
    for file, names in table["reads"].items():
        with suppress(OSError):  # a file that is not there has lost its hooks, which are named above
            text = source_text(("trl", file)) if of(file) else ""
            lost = [name for name in names.split() if not re.search(rf"self\.{name}(: [^=\n]+)? =", text)]
            yield from (f"{name} of {file} (is set)" for name in lost if text)


def used_by(recipe: Recipe) -> Callable[[str], bool]:
    """Picks the files of the trainer that a recipe starts, of its engine, and of what all share."""
    trainers = {file.replace("_config", "_trainer") for package, file, _ in recipe.record.config_chain}

    def used(file: str) -> bool:
        return file in trainers or (("vllm" not in file or recipe.uses_vllm) and not file.endswith("_trainer.py"))

    return used


def newer_trl(installed: str, line: str, of: Callable[[str], bool]) -> Finding | None:
    """Warns of a TRL above the tested one that has the same hooks, and refuses one that has not; None below it."""
    tested = hook_table()["tested"]
    if Version(installed) < Version(tested):
        return None
    if moved := ", ".join(moved_hooks(of)):
        text = f"trl {installed} is untested, and these hooks are not as in {tested}: {moved}."
        return Finding("error", "packages", text, fix=line)
    text = f"trl {installed} is untested; hooks are as in {tested}, and with equal hooks a run trains."
    return Finding("warning", "packages", text)

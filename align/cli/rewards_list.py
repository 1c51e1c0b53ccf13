"""`align rewards list`: the rewards a recipe can name."""

import inspect
from collections.abc import Callable
from typing import Any

from rich.text import Text

from align.console import make_console, make_table
from rewards.catalog import REWARDS
from rewards.running.entry_points import package_of, shipped_rewards
from rewards.running.loading import find_dotted
from rewards.running.protocol import TRAINER_ARGUMENTS

GIVEN = ("prompts", "completions", "completion_ids")


def run() -> None:
    """Prints name, columns, settings and purpose of every reward, from its own signatures and docstring."""
    table = make_table("reward", "columns", "settings", "what it rewards")
    for name, path in REWARDS.items():
        reward = find_dotted(path)
        table.add_row(name, Text(_columns(reward)), _settings(reward), Text(_first_line(reward)))
    for name, points in shipped_rewards().items():
        if name not in REWARDS:
            table.add_row(name, "", "", Text(f"{points[0].value}, shipped by {package_of(points[0])}"))
    console = make_console()
    console.print(table)
    console.print("Columns in brackets may be missing; every reward takes those of TRL, too.", style="dim")
    console.print("Your own: `align rewards new NAME`, then `reward_funcs: [./NAME.py:NAME]`.", style="dim")


def _columns(reward: Any) -> str:
    """Names the columns of a data set that a reward reads."""
    found = [
        each
        for each in inspect.signature(reward.__call__).parameters.values()
        if each.name not in ("self", *GIVEN, *TRAINER_ARGUMENTS) and each.kind is not each.VAR_KEYWORD
    ]
    return ", ".join(each.name if each.default is each.empty else f"[{each.name}]" for each in found)


def _settings(reward: Callable[..., Any]) -> str:
    parameters = inspect.signature(reward).parameters.values()
    return ", ".join(str(each).partition(":")[0] for each in parameters if each.name != "response_format")


def _first_line(reward: Callable[..., Any]) -> str:
    return (inspect.getdoc(reward) or "").partition("\n")[0]

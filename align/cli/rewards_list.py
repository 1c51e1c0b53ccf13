"""`align rewards list`: the rewards a recipe can name."""

import inspect
from collections.abc import Callable
from typing import Any

from rich.text import Text

from align.console import make_console, make_table
from rewards.catalog import REWARDS
from rewards.running.entry_points import package_of, shipped_rewards
from rewards.running.loading import find_dotted


def run() -> None:
    """Prints name, settings and purpose of every reward, from its own docstring."""
    table = make_table("reward", "settings", "what it rewards")
    for name, path in REWARDS.items():
        reward = find_dotted(path)
        table.add_row(name, _settings(reward), Text(_first_line(reward)))
    for name, points in shipped_rewards().items():
        if name not in REWARDS:
            table.add_row(name, "", Text(f"{points[0].value}, shipped by {package_of(points[0])}"))
    console = make_console()
    console.print(table)
    console.print("Your own: `align rewards new NAME`, then `reward_funcs: [./NAME.py:NAME]`.", style="dim")


def _settings(reward: Callable[..., Any]) -> str:
    parameters = inspect.signature(reward).parameters.values()
    return ", ".join(str(each).partition(":")[0] for each in parameters if each.name != "response_format")


def _first_line(reward: Callable[..., Any]) -> str:
    return (inspect.getdoc(reward) or "").partition("\n")[0]

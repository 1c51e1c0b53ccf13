"""`align recipes`: what is shipped."""

import re

from align.assets import asset_dir, shipped_recipes
from align.console import make_console, make_table


def run() -> None:
    """Prints name, hardware and purpose of every recipe, from the comments at its top."""
    table = make_table("recipe", "hardware", "purpose")
    for name, path in shipped_recipes().items():
        header = path.read_text(encoding="utf-8")
        facts = {
            key: value.strip() for key, value in re.findall(r"^# (purpose|hardware): (.*)$", header, re.MULTILINE)
        }
        table.add_row(name, facts.get("hardware", ""), facts.get("purpose", ""))
    console = make_console()
    console.print(table)
    console.print(f"Recipes are in {asset_dir('recipes')}, launch files in {asset_dir('ds_configs')}.", style="dim")

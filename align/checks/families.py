"""Families of a recipe tried before training: what raises, what changes few rows, what cannot be repeated."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.rewards import spread
from rewards.scoring.families import Family, FamilyError

MANY = 0.5  # share of rows that nothing changes, above which most are trained without what a recipe asks for
Row = Mapping[str, Any]
Change = Callable[[Sequence[Family], Row, random.Random], Any]


def try_families(
    families: Sequence[Family],
    rows: Sequence[Row],
    change: Change,
    lost: str,
    has_moved: Callable[[Row, Any], bool] = lambda row, version: False,
) -> list[Finding]:
    """Tries each family by itself, twice, on rows from all over the data; `lost` says what becomes of others."""
    tried = spread(rows)
    findings: list[Finding] = []
    changed_by_any: set[int] = set()
    for family in families:
        try:
            first, again = ([change([family], row, random.Random(i)) for i, row in enumerate(tried)] for _ in range(2))
        except FamilyError as error:
            findings.append(Finding("error", "families", str(error), {"family": family.name}))
            continue
        changed = {i: version for i, version in enumerate(first) if version is not None}
        changed_by_any |= changed.keys()
        moved = sum(has_moved(tried[i], version) for i, version in changed.items())
        findings.append(_describe(family.name, len(changed), moved, len(tried), first == again))
    rest = len(tried) - len(changed_by_any)
    if rest > MANY * len(tried) and all(finding.level == "ok" for finding in findings):
        text = (
            f"No family changes {rest} of {len(tried)} rows that were tried, and {lost}. Name a family that changes "
            "more of them."
        )
        findings.append(Finding("warning", "families", text, {"unchanged": rest, "of": len(tried)}))
    return findings


def _describe(name: str, changed: int, moved: int, tried: int, is_repeatable: bool) -> Finding:
    numbers = {"family": name, "changed": changed, "moved": moved, "of": tried}
    if not is_repeatable:
        text = (
            f"Family `{name}` gives another version when it is called again with the same random.Random. Draw from "
            "nothing else, so that processes and resumed runs agree."
        )
        return Finding("error", "families", text, numbers)
    if not changed:
        text = f"Family `{name}` changes none of {tried} rows that were tried. Remove it, or mend it."
        return Finding("error", "families", text, numbers)
    text = f"Family `{name}` changes {changed} of {tried} rows that were tried"
    text += f", and the right answer to {moved} of them." if moved else "."
    return Finding("ok", "families", text, numbers)

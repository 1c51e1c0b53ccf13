"""What `align check` says of families that perturb prompts: they are tried on rows."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.reward_trials import spread
from align.methods.consistency.prompts import other_prompt
from align.methods.consistency.rules import consistency_families, is_consistent
from align.recipe.recipe import Recipe
from rewards.scoring.families import ON_PROMPTS, Family, FamilyError

MANY = 0.5  # share of rows that nothing changes, above which most are trained without it
Change = Callable[[Sequence[Family], Mapping[str, Any], random.Random], Any]


def check_rows(
    recipe: Recipe,
    rows: Sequence[Mapping[str, Any]],
    change: Change = other_prompt,
    known: Sequence[str] = ON_PROMPTS,
) -> list[Finding]:
    """Tries the families of a recipe on its rows, where it asks for consistency.

    Args:
        recipe: The recipe.
        rows: With what `change` reads.
        change: Draws another prompt of a row.
        known: The families that can be used.
    """
    if not is_consistent(recipe.setting):
        return []
    if any(row.get("images") for row in rows):
        text = "`consistency_coef` above 0 compares prompts of text, and rows have images. Set it to 0."
        return [Finding("error", "families", text)]
    try:
        families = consistency_families(recipe.setting("consistency_families"), recipe.path.parent, known)
    except ValueError as error:
        return [Finding("error", "families", str(error))]
    return _try(families, rows, change)


def _try(families: Sequence[Family], rows: Sequence[Mapping[str, Any]], change: Change) -> list[Finding]:
    findings = []
    tried = spread(rows)
    changed_by_any: set[int] = set()
    for family in families:
        try:
            first, again = ([change([family], row, random.Random(i)) for i, row in enumerate(tried)] for _ in range(2))
        except FamilyError as error:
            findings.append(Finding("error", "families", str(error)))
            continue
        changed = {i for i, prompt in enumerate(first) if prompt is not None}
        changed_by_any |= changed
        findings.append(_describe(family.spec, len(changed), len(tried), first == again))
    rest = len(tried) - len(changed_by_any)
    if rest > MANY * len(tried) and all(finding.level == "ok" for finding in findings):
        text = (
            f"No family changes {rest} of {len(tried)} rows that were tried, and their answers are not compared. Name "
            "a family that changes more of them."
        )
        findings.append(Finding("warning", "families", text, {"unchanged": rest, "of": len(tried)}))
    return findings


def _describe(spec: str, changed: int, tried: int, is_repeatable: bool) -> Finding:
    numbers = {"family": spec, "changed": changed, "of": tried}
    if not is_repeatable:
        text = (
            f"Family {spec} gives another version when it is called again with the same random.Random. Draw from "
            "nothing else, so that processes and resumed runs agree."
        )
        return Finding("error", "families", text, numbers)
    if not changed:
        text = f"Family {spec} changes none of {tried} rows that were tried. Remove it, or mend it."
        return Finding("error", "families", text, numbers)
    return Finding("ok", "families", f"Family {spec} changes {changed} of {tried} rows that were tried.", numbers)

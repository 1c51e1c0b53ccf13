"""Families of a recipe tried before training: what raises, what changes few rows, what cannot be repeated."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.reward_trials import spread
from align.recipe.recipe import Recipe
from rewards.scoring.families import ChangedPrompt, Family, FamilyError, change_prompt

MANY = 0.5  # share of rows without a version, above which most are trained as by GRPO
Pair = tuple[ChangedPrompt | None, ChangedPrompt | None]


def check_families(recipe: Recipe, families: Sequence[Family], rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Tries every family on rows from all over the data: what raises, what changes few, what is not repeatable."""
    tried, gold = spread(rows), recipe.setting("gold_column")
    findings, with_version = [], set()
    for family in families:
        try:
            drawn = [_versions(family, row, gold) for row in tried]
        except FamilyError as error:
            findings.append(Finding("error", "families", str(error), {"family": family.name}))
            continue
        with_version |= {i for i, (first, _) in enumerate(drawn) if first is not None}
        findings.append(_describe(family.name, drawn, [row.get(gold) for row in tried]))
    without = len(tried) - len(with_version)
    if all(finding.level == "ok" for finding in findings) and without > MANY * len(tried):
        text = (
            f"{without} of {len(tried)} rows have no version, and are rewarded as by GRPO. Use a family that changes "
            "more of them."
        )
        findings.append(Finding("warning", "families", text, {"changed": len(with_version), "of": len(tried)}))
    return findings


def _describe(name: str, drawn: Sequence[Pair], golds: Sequence[Any]) -> Finding:
    changed = sum(first is not None for first, _ in drawn)
    mapped = sum(first is not None and first.gold != gold for (first, _), gold in zip(drawn, golds, strict=True))
    numbers = {"family": name, "changed": changed, "mapped": mapped, "of": len(drawn)}
    if any(first != again for first, again in drawn):
        text = (
            f"Family `{name}` gives another version when it is called again with the same random.Random. Draw from "
            "nothing else, so that ranks and resumed runs agree."
        )
        return Finding("error", "families", text, numbers)
    if not changed:
        text = f"Family `{name}` changes none of {len(drawn)} rows that were tried. Remove it, or mend it."
        return Finding("error", "families", text, numbers)
    text = f"Family `{name}` changes {changed} of {len(drawn)} rows that were tried"
    text += f", and the right answer to {mapped} of them." if mapped else "."
    return Finding("ok", "families", text, numbers)


def _versions(family: Family, row: Mapping[str, Any], gold: str) -> Pair:
    """Changes a row twice in the same way."""
    first, again = (change_prompt([family], row, random.Random(str(row["id"])), gold) for _ in range(2))
    return first, again

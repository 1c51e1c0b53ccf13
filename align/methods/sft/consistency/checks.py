"""What `align check` says of consistency: families that are tried, and a model that cannot be trained with it."""

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from align.checks.finding import Finding
from align.checks.model import model_folder
from align.checks.reward_trials import spread
from align.methods.sft.consistency.families import FamilyError, change_prompt, find_families
from align.methods.sft.consistency.rules import is_consistent, logit_scaling, prompt_of
from align.recipe.recipe import Recipe

MANY = 0.5  # share of rows that nothing changes, above which most are trained as by SFT


def check_consistency_data(recipe: Recipe, rows: Sequence[Mapping[str, Any]]) -> list[Finding]:
    """Tries the families on rows from all over the data, and looks at the model's config."""
    if not is_consistent(recipe.setting):
        return []
    findings = _check_model(recipe)
    try:
        families = find_families(recipe.setting("consistency_families"), recipe.path.parent)
    except ValueError as error:
        return [*findings, Finding("error", "families", str(error))]
    for row in rows:
        try:
            prompt_of(row)
        except ValueError as error:
            return [*findings, Finding("error", "data", f"Row {row['id']}: {error}")]
    tried = [prompt_of(row) for row in spread(rows)]
    changed_by_any: set[int] = set()
    for family in families:
        try:
            first, again = (
                [change_prompt([family], prompt, random.Random(i)) for i, prompt in enumerate(tried)] for _ in range(2)
            )
        except FamilyError as error:
            findings.append(Finding("error", "families", str(error)))
            continue
        changed = {i for i, prompt in enumerate(first) if prompt is not None}
        changed_by_any |= changed
        findings.append(_describe(family.spec, len(changed), len(tried), first == again))
    rest = len(tried) - len(changed_by_any)
    if rest > MANY * len(tried) and all(finding.level == "ok" for finding in findings):
        text = (
            f"No family changes {rest} of {len(tried)} rows that were tried, and they are trained as by SFT. Name a "
            "family that changes more of them."
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


def _check_model(recipe: Recipe) -> list[Finding]:
    folder = model_folder(recipe.model.model_name_or_path)
    if folder is None or not (file := folder / "config.json").is_file():
        return []
    config = json.loads(file.read_text(encoding="utf-8"))
    sentence = logit_scaling(config.get("text_config") or config)
    return [Finding("error", "model", sentence)] if sentence else []

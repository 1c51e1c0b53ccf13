"""Prompts that families change and whose answer stays word by word."""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from align.data.conversations import as_written
from rewards.scoring.families import Family, FamilyError, change_prompt


def other_prompt(
    families: Sequence[Family], row: Mapping[str, Any], rng: random.Random, gold_column: str = "answer"
) -> Any:
    """Draws another prompt of a row; None if no family can change it.

    Raises:
        FamilyError: If a family fails, or changes the answer where the row has one.

    Example:
        >>> from align.methods.consistency.rules import consistency_families
        >>> other_prompt(consistency_families(["distractor"]), {"prompt": "1 + 1 ="}, random.Random(0))
        'The bus was late again this morning. 1 + 1 ='
    """
    changed = change_prompt(families, {**row, "prompt": as_written(row["prompt"])}, rng, gold_column)
    if changed is None:
        return None
    gold = row.get(gold_column)
    if gold is not None and changed.gold != gold:
        raise FamilyError(
            f"Family `{changed.family}`, row {row.get('id', row['prompt'])!r:.100}: it changed the answer "
            f"{gold!r:.60} to {changed.gold!r:.60}, and consistency compares one answer behind both prompts. Name "
            "families that keep it."
        )
    return changed.prompt

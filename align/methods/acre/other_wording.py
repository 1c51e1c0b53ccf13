"""Questions in other words, whose options keep their letters."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rewards.scoring.families import ON_PROMPTS, Family, FamilyError, call_family
from rewards.scoring.perturbations import Version

KNOWN = (*ON_PROMPTS, "misleading_hint")  # the families that leave options where they are


def other_wording(
    families: Sequence[Family], row: Mapping[str, Any], rng: random.Random, render: Callable[[str, Sequence[str]], Any]
) -> Any:
    """Draws a family that can change a question, and renders its version; None if none can.

    Raises:
        FamilyError: If a family fails, or moves options or the answer, whose letters the completion names.
    """
    options, name = list(row["options"]), f"{row.get('id', row['question'])!r:.100}"
    identity = tuple(range(len(options)))
    original = Version(row["question"], options, row["answer"], identity, row)
    for family in rng.sample(list(families), len(families)):
        made = call_family(family, original, rng, name)
        if made is None:
            continue
        if not isinstance(made, Version):
            raise FamilyError(f"Family `{family.name}`, row {name}: it must return a text, a Version, or None here.")
        order = identity if made.permutation is None else tuple(made.permutation)
        if (list(made.options or ()), made.answer, order) != (options, row["answer"], identity):
            raise FamilyError(
                f"Family `{family.name}`, row {name}: it changed options or the answer, and the letters of a "
                "completion would mean others. Change the question only."
            )
        if made.question != row["question"]:
            return render(made.question, options)
    return None

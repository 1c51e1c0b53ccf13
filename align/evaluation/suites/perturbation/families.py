"""Families of versions, and which of their versions ask the same question."""

import random
from collections.abc import Sequence

from align.errors import DataError, UserError
from rewards.reading.options import permute, to_shown
from rewards.scoring import families
from rewards.scoring.families import Family, FamilyError, call_family
from rewards.scoring.perturbations import FAMILIES, ORIGINAL, Version

AGAIN = "twice"  # the original, asked a second time


def find_families(specs: Sequence[str]) -> list[Family]:
    """Finds families by name, or loads functions; without any, all of `rewards.FAMILIES`.

    Raises:
        UserError: If one is unknown, cannot be loaded or is no function, or two have one name.
    """
    try:
        found = families.find_families(specs or tuple(FAMILIES), "`--families`", tuple(FAMILIES))
    except ValueError as error:
        raise UserError(str(error)) from error
    names = [each.name for each in found]
    for each in found:
        if names.count(each.name) > 1 or (each.name in (*FAMILIES, ORIGINAL, AGAIN) and each.spec != each.name):
            raise UserError(f"`--families` has two families called {each.name}. Name each once, or rename a function.")
    return found


def make_version(family: Family, original: Version, name: str, row: int, *, seed: int) -> Version | None:
    """Makes the version of a question; None if the family does not change it.

    What is drawn depends on the seed, the question's name and the family's, as in `rewards.perturbed_rows`.

    Args:
        family: One's own may do anything, so what it returns is checked.
        original: The question.
        name: Its id.
        row: Where it stood.
        seed: Of what is drawn.

    Raises:
        DataError: If the family raises, or returns something else than another wording of the same question.
    """
    try:
        made = call_family(family, original, random.Random(f"{seed}/{name}/{family.name}"), f"{row} ({name})")
    except FamilyError as error:
        raise DataError(str(error)) from error
    if made is None:
        return None
    version = made if isinstance(made, Version) else _from_pair(made, original)
    if broken := _broken_rule(version, original):
        raise DataError(f"Family `{family.name}`, row {row} ({name}): it {broken}")
    same = (version.question, _texts(version)) == (original.question, _texts(original))
    return None if same else version


def _from_pair(pair: Sequence[object], original: Version) -> Version:
    """Reads a prompt and its answer, which stays where it is that of the row."""
    question, answer = pair
    kept = original.answer if answer == original.get("answer", original.answer) else answer
    return original._replace(question=question, answer=kept)  # type: ignore[arg-type]  # which is checked


def _broken_rule(version: Version, original: Version) -> str:
    """Words which rule a version breaks, with the remedy; empty if none."""
    if not isinstance(version.question, str) or not version.question.strip():
        return f"returned {version.question!r:.60} as the question. Return a text."
    if original.options is None:
        told = "" if (version.options, version.answer) == (None, original.answer) else "options or the answer"
        return told and f"changed {told} of a question without options. Change the question only."
    before, after, order = list(original.options), _texts(version), version.permutation
    if not isinstance(order, tuple | list) or sorted(order) != list(range(len(before))):
        return f"returned the permutation {order!r:.60}. It must hold each of 0..{len(before) - 1} once."
    if after is None or len(after) != len(before) or not all(isinstance(each, str) and each.strip() for each in after):
        return f"returned the options {version.options!r:.60}. Return {len(before)} texts, one for each option."
    if version.answer != to_shown(original.answer, order):
        return f"returned {version.answer!r} as the answer. It must be the place of the right option."
    if sorted(after) == sorted(before) and after != permute(before, order):
        return "moved options without saying so. Set `permutation`: option permutation[j] stands in place j."
    return ""


def _texts(version: Version) -> list[str] | None:
    return list(version.options) if isinstance(version.options, list | tuple) else None

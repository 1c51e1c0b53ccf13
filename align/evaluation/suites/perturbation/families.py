"""Families of versions: those of `rewards.FAMILIES`, and functions in files that the user names."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from align.errors import DataError, UserError
from rewards.reading.options import permute, to_shown
from rewards.running.loading import find_in_file
from rewards.scoring.perturbations import FAMILIES, ORIGINAL, Family, Version, make_versions

AGAIN = "twice"  # the original, asked a second time
_MOST_SHOWN = 60  # characters of what a family returned


class NamedFamily(NamedTuple):
    """A family.

    Attributes:
        name: In metrics, and in the column `family` of rows.
        spec: As the user named it.
        make: Returns a version of a question, or the text of its question, or None if it cannot change it.
    """

    name: str
    spec: str
    make: Family


def find_families(specs: Sequence[str]) -> list[NamedFamily]:
    """Finds families by name, or loads `path/to/file.py:function`; without any, all of `rewards.FAMILIES`.

    Raises:
        UserError: If one is unknown, cannot be loaded or is no function, or two have one name.
    """
    found = [_find(spec) for spec in specs or FAMILIES]
    names = [each.name for each in found]
    for each in found:
        if names.count(each.name) > 1 or (each.name in (*FAMILIES, ORIGINAL, AGAIN) and each.spec != each.name):
            raise UserError(f"`--families` has two families called {each.name}. Name each once, or rename a function.")
    return found


def make_version(family: NamedFamily, original: Version, name: str, row: int, *, seed: int) -> Version | None:
    """Makes the version of a question; None if the family does not change it.

    Args:
        family: One's own may do anything, so what it returns is checked.
        original: The question.
        name: Its id.
        row: Where it stood.
        seed: Of what is drawn.

    Raises:
        DataError: If the family raises, or returns something else than another wording of the same question.
    """
    where = f"Family {family.spec} at row {row} ({name})"
    try:
        made: Any = make_versions(original, name, {family.name: family.make}, seed=seed)[family.name]
    except Exception as error:  # whatever it raises is the user's to see
        raise DataError(
            f"{where} raised {type(error).__name__}: {error}. Mend it, or return None for a question that it cannot "
            "change."
        ) from error
    if made is None:
        return None
    version = original._replace(question=made) if isinstance(made, str) else made
    if not isinstance(version, Version):
        raise DataError(
            f"{where} must return a text (the new question), a Version, or None for a question that it cannot change; "
            f"got {repr(made)[:_MOST_SHOWN]}."
        )
    if broken := _broken_rule(version, original):
        raise DataError(f"{where} {broken}")
    same = (version.question, _texts(version)) == (original.question, _texts(original))
    return None if same else version


def _find(spec: str) -> NamedFamily:
    if spec in FAMILIES:
        return NamedFamily(spec, spec, FAMILIES[spec])
    if ":" not in spec and not spec.endswith(".py"):
        raise UserError(
            f"`--families` must name some of {', '.join(FAMILIES)}, or a function as ./mine.py:function; got {spec!r}."
        )
    try:
        _, made = find_in_file(spec, None, noun="Family")
    except ValueError as error:
        raise UserError(str(error)) from error
    if not callable(made):
        raise UserError(f"Family {spec!r} must be a function of a version and a random.Random, got {made!r:.60}.")
    return NamedFamily(spec.rpartition(":")[2], spec, made)


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

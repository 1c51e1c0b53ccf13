"""Families that change a prompt and keep its answer word by word."""

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewards.running.loading import find_in_file
from rewards.scoring.perturbations import FAMILIES, Version

ON_PROMPTS = ("whitespace", "distractor")  # those of `rewards.FAMILIES` that need no options
DEFAULT = ("whitespace",)  # of `SEEN_FAMILIES`; `distractor` stays unseen, to measure with
_MOST_SHOWN = 60  # characters of what a family returned
Prompt = str | list[dict[str, Any]]


class FamilyError(ValueError):
    """A family that raised, or returned what is no question."""


class PromptFamily(NamedTuple):
    """A family.

    Attributes:
        spec: As in the recipe, with an absolute path.
        make: Returns a version of a question, or its text, or None if it cannot change it.
    """

    spec: str
    make: Callable[[Version, random.Random], Version | str | None]


def check_specs(specs: object) -> None:
    """Checks how families are named; no file is loaded.

    Raises:
        ValueError: If there is none, or one is neither known nor written as a function in a file.
    """
    if not isinstance(specs, list | tuple) or not specs:
        raise ValueError(f"`consistency_families` must list families; got {specs!r}. Remove it for {DEFAULT[0]}.")
    for spec in specs:
        if spec in ON_PROMPTS or (isinstance(spec, str) and ".py:" in spec):
            continue
        if spec in FAMILIES:
            raise ValueError(
                f"`consistency_families` names {spec!r}, which changes the options of a question, and demonstrations "
                f"have none apart. Use {' or '.join(ON_PROMPTS)}, or your own as ./mine.py:function."
            )
        raise ValueError(
            f"`consistency_families` must name {' or '.join(ON_PROMPTS)}, or functions as ./mine.py:function; "
            f"got {spec!r:.{_MOST_SHOWN}}."
        )
    if len(set(specs)) < len(specs):
        raise ValueError(f"`consistency_families` names a family twice: {list(specs)}. Name each once.")


def find_families(specs: Sequence[str] | None, base_dir: Path | str | None = None) -> list[PromptFamily]:
    """Finds families by name, or loads `path/to/file.py:function`; without any, the default.

    Args:
        specs: As in a recipe.
        base_dir: Folder that paths are relative to; after it, the current folder is tried.

    Raises:
        ValueError: If one is unknown, cannot be loaded or is no function.
    """
    specs = DEFAULT if specs is None else specs
    check_specs(specs)
    found = []
    for spec in specs:
        name, make = (spec, FAMILIES[spec]) if spec in ON_PROMPTS else find_in_file(spec, base_dir, noun="Family")
        if not callable(make):
            raise ValueError(f"Family {spec!r} must be a function of a version and a random.Random, got {make!r:.60}.")
        found.append(PromptFamily(name, make))
    return found


def change_prompt(families: Sequence[PromptFamily], prompt: Prompt, rng: random.Random) -> Prompt | None:
    """Draws a family that can change a prompt, and a version of it; None if none can.

    A text is changed itself, of messages the last one of the user.

    Raises:
        FamilyError: If a family raises, or returns something else than another wording.

    Example:
        >>> change_prompt(find_families(["distractor"]), "1 + 1 =", random.Random(0))
        'The bus was late again this morning. 1 + 1 ='
    """
    messages: Sequence[Mapping[str, Any]] = [] if isinstance(prompt, str) else prompt
    place = max((i for i, message in enumerate(messages) if message["role"] == "user"), default=None)
    if isinstance(prompt, str):
        text: Any = prompt
    else:
        text = None if place is None else prompt[place]["content"]
    if not isinstance(text, str):
        return None
    for family in rng.sample(list(families), len(families)):
        changed = _reworded(family, text, rng)
        if changed is None or changed == text:
            continue
        if isinstance(prompt, str):
            return changed
        made = copy.deepcopy(prompt)
        made[place]["content"] = changed  # type: ignore[index]  # it was found
        return made
    return None


def _reworded(family: PromptFamily, text: str, rng: random.Random) -> str | None:
    where = f"Family {family.spec}, prompt {text!r:.{_MOST_SHOWN}}"
    try:
        made: Any = family.make(Version(text, None, None), rng)
    except Exception as error:  # whatever it raises is the user's to see
        raise FamilyError(
            f"{where}: it raised {type(error).__name__}: {error}. Mend it, or return None for what it cannot change."
        ) from error
    question = made.question if isinstance(made, Version) else made
    if question is None or (isinstance(question, str) and question.strip()):
        return question
    raise FamilyError(
        f"{where}: it must return a text (the new question), a Version, or None for what it cannot change; "
        f"got {made!r:.{_MOST_SHOWN}}."
    )

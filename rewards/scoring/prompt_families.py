"""Families that change a prompt and keep its truth: behind it the same reasoning leads to the right answer."""

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewards.running.loading import find_dotted, find_in_file
from rewards.running.protocol import reward_name
from rewards.scoring.perturbations import FAMILIES, Version

ON_PROMPTS = ("whitespace", "distractor")  # the families of `rewards.FAMILIES` that need no options
PromptFamily = Callable[[Mapping[str, Any], random.Random], tuple[Any, Any] | None]


class ChangedPrompt(NamedTuple):
    """A version of a row."""

    prompt: Any  # a text or messages, as in the row
    gold: Any  # the right answer to it
    family: str


class FamilyError(ValueError):
    """A family that raised, or returned what is no version; the message names family and row."""


class OnPrompts:
    """A family of `rewards.FAMILIES` on prompts: changes the text, or the last message of the user.

    Args:
        name: One of `ON_PROMPTS`.
        gold_column: Column with the right answer, which stays.

    Example:
        >>> OnPrompts("distractor")({"prompt": "1 + 1 =", "answer": 2}, random.Random(0))
        ('The bus was late again this morning. 1 + 1 =', 2)
    """

    def __init__(self, name: str, gold_column: str = "answer") -> None:
        self.__name__ = name
        self.gold_column = gold_column

    def __call__(self, row: Mapping[str, Any], rng: random.Random) -> tuple[Any, Any] | None:
        """Returns the changed prompt and the gold, or None for a prompt that cannot be changed without harm."""
        prompt = row["prompt"]
        last = -1 if isinstance(prompt, str) else max(_of_user(prompt), default=None)
        text = prompt if isinstance(prompt, str) else None if last is None else prompt[last]["content"]
        if not isinstance(text, str):
            return None
        version = FAMILIES[self.__name__](Version(text, None, None), rng)
        if version is None:
            return None
        if isinstance(prompt, str):
            return version.question, row[self.gold_column]
        changed = [dict(message) for message in prompt]
        changed[last]["content"] = version.question  # type: ignore[index]
        return changed, row[self.gold_column]


def _of_user(messages: Sequence[Mapping[str, Any]]) -> list[int]:
    return [i for i, message in enumerate(messages) if message.get("role") == "user"]


def find_family(spec: str, *, gold_column: str = "answer", base_dir: Path | str | None = None) -> PromptFamily:
    """Finds a family: one of `ON_PROMPTS`, `path/to/file.py:function` or `package.module.function`.

    Raises:
        ValueError: If there is no such family, or it needs options.
    """
    if spec in ON_PROMPTS:
        return OnPrompts(spec, gold_column)
    if spec in FAMILIES:
        raise ValueError(
            f"Family {spec!r} changes the options of a question, and prompts have none. Use "
            f"{' or '.join(ON_PROMPTS)}, or your own as `path/to/file.py:function`."
        )
    if ":" in spec or spec.endswith(".py"):
        found = find_in_file(spec, base_dir, noun="Family")[1]
    elif "." in spec:
        found = find_dotted(spec, noun="Family")
    else:
        raise ValueError(
            f"Unknown family {spec!r}. Known families: {', '.join(ON_PROMPTS)}. Your own is named "
            "`path/to/file.py:function`: it takes a row and a random.Random, and returns the changed prompt and its "
            "right answer, or None."
        )
    if not callable(found):
        raise ValueError(f"Family {spec!r} is a {type(found).__name__}, not a function.")
    return found  # type: ignore[no-any-return]


def change_prompt(
    families: Sequence[PromptFamily], row: Mapping[str, Any], rng: random.Random, gold_column: str = "answer"
) -> ChangedPrompt | None:
    """Draws a family that can change a row, and a version of it; None if none can.

    Raises:
        FamilyError: If a family raises, or returns what is no version.

    Example:
        >>> def without_hint(row, rng):
        ...     return row["prompt"].replace(" Hint: 3.", ""), row["answer"]
        >>> change_prompt([without_hint], {"prompt": "1 + 1? Hint: 3.", "answer": "2"}, random.Random(0))
        ChangedPrompt(prompt='1 + 1?', gold='2', family='without_hint')
    """
    for family in rng.sample(list(families), len(families)):
        changed = _change(family, row, rng)
        if changed is not None and (changed.prompt, changed.gold) != (row["prompt"], row.get(gold_column)):
            return changed
    return None


def _change(family: PromptFamily, row: Mapping[str, Any], rng: random.Random) -> ChangedPrompt | None:
    name = reward_name(family)
    where = f"Family `{name}`, row {row.get('id', row['prompt'])!r:.100}"
    try:
        found = family(copy.deepcopy(dict(row)), rng)
    except Exception as error:
        raise FamilyError(f"{where}: it raised {type(error).__name__}: {error}.") from error
    if found is None:
        return None
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise FamilyError(f"{where}: it must return (prompt, gold) or None, got {found!r:.120}.")
    prompt, gold = found
    if type(prompt) is not type(row["prompt"]) or not prompt:
        raise FamilyError(
            f"{where}: it must return a prompt in the form of the row's, a {type(row['prompt']).__name__}; "
            f"got {prompt!r:.120}."
        )
    if gold is None:
        raise FamilyError(f"{where}: it returned no right answer. Return None for a row that cannot be changed.")
    return ChangedPrompt(prompt, gold, name)

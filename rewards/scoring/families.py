import copy
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rewards.running.loading import find_dotted, find_in_file
from rewards.running.protocol import reward_name
from rewards.scoring.perturbations import FAMILIES, Version
from rewards.scoring.result_families import RESULT_FAMILIES

ON_PROMPTS = ("whitespace", "distractor")  # the families of `rewards.FAMILIES` that need no options
ON_RESULTS = tuple(RESULT_FAMILIES)  # of tools
_BUILT_IN = FAMILIES | RESULT_FAMILIES
_MOST_SHOWN = 60  # characters of what a family returned
_GIVEN = (
    "A family is given a `Version`: `question`, `options`, `answer`, and what else the row has as version['column']."
)


class Family(NamedTuple):
    """A family."""

    name: str  # in metrics, and in the column `family` of rows
    spec: str  # as the user named it, with an absolute path
    make: Callable[[Version, random.Random], Any]  # returns a version, its text, a pair of prompt and answer, or None


class ChangedPrompt(NamedTuple):
    """A version of a row."""

    prompt: Any  # a text or messages, as in the row
    gold: Any  # the right answer to it
    family: str


class FamilyError(ValueError):
    """A family that raised, or returned what is no version; the message names family and row."""


def check_specs(specs: object, key: str, known: Sequence[str] = ON_PROMPTS) -> None:
    """Checks how families are named under a setting: as `known` ones, or as functions; no file is loaded."""
    if not isinstance(specs, list | tuple) or not specs:
        raise ValueError(f"{key} must list families; got {specs!r}.")
    for spec in specs:
        if spec in known or (isinstance(spec, str) and ("." in spec or ":" in spec)):
            continue
        remedy = f"Use {' or '.join(known)}, or your own as ./mine.py:function."
        changes = (
            "the result of a tool, and there are no tools" if spec in RESULT_FAMILIES
            else "a prompt, and with tools their results are changed" if spec in ON_PROMPTS
            else "the options of a question or needs some"
        )  # fmt: skip
        if spec in _BUILT_IN:
            raise ValueError(f"{key} names {spec!r}, which changes {changes}. {remedy}")
        raise ValueError(
            f"{key} must name some of {', '.join(known)}, or functions as ./mine.py:function; "
            f"got {spec!r:.{_MOST_SHOWN}}."
        )
    if len(set(specs)) < len(specs):
        raise ValueError(f"{key} names a family twice: {', '.join(specs)}. Name each once.")


def find_families(
    specs: Sequence[str],
    key: str = "`families`",
    known: Sequence[str] = ON_PROMPTS,
    base_dir: Path | str | None = None,
) -> list[Family]:
    """Finds families by name, or loads `path/to/file.py:function`, from `base_dir` or here, or `package.function`."""
    check_specs(specs, key, known)
    return [_find(spec, base_dir) for spec in specs]


def as_family(make: Family | Callable[[Version, random.Random], Any]) -> Family:
    """Names a function after itself; a family stays."""
    return make if isinstance(make, Family) else Family(reward_name(make), reward_name(make), make)


def call_family(family: Family, original: Version, rng: random.Random, row: str) -> Any:
    """Calls a family on a copy of a question, so that it cannot change the row itself.

    Returns a `Version`, a pair of a prompt and its answer, or None. Raises `FamilyError` if the family raises, or
    returns something else.

    Example:
        >>> family = as_family(lambda version, rng: version.question.upper())
        >>> call_family(family, Version("1 + one?", None, 2), random.Random(0), "row 0").question
        '1 + ONE?'
    """
    where = f"Family `{family.name}`, row {row}"
    try:
        made = family.make(copy.deepcopy(original), rng)
    except Exception as error:  # whatever it raises is the user's to see
        told = f" {_GIVEN}" if isinstance(error, TypeError | AttributeError) else ""
        raise FamilyError(
            f"{where}: it raised {type(error).__name__}: {error}. Mend it, or return None for what it cannot "
            f"change.{told}"
        ) from error
    if isinstance(made, str):
        made = original._replace(question=made)
    if isinstance(made, Version):
        if not isinstance(made.question, str) or not made.question.strip():
            raise FamilyError(f"{where}: it returned {made.question!r:.{_MOST_SHOWN}} as the question. Return a text.")
        return made
    if made is None or (isinstance(made, tuple | list) and len(made) == 2):
        return made
    raise FamilyError(
        f"{where}: it must return a text (the new question), a Version, (prompt, answer), or None for what it cannot "
        f"change; got {made!r:.{_MOST_SHOWN}}."
    )


def change_prompt(
    families: Sequence[Family | Callable[[Version, random.Random], Any]],
    row: Mapping[str, Any],
    rng: random.Random,
    gold_column: str = "answer",
) -> ChangedPrompt | None:
    """Draws a family that can change a row, and a version of it; None if none can.

    A family sees the prompt as a question without options: a text itself, of messages the last one of the user. Raises
    `FamilyError` if a family raises, or returns what is no version.

    Example:
        >>> def without_hint(version, rng):
        ...     return version.question.replace(" Hint: 3.", "")
        >>> change_prompt([without_hint], {"prompt": "1 + 1? Hint: 3.", "answer": "2"}, random.Random(0))
        ChangedPrompt(prompt='1 + 1?', gold='2', family='without_hint')
    """
    prompt, gold = row["prompt"], row.get(gold_column)
    named = [as_family(family) for family in families]
    for family in rng.sample(named, len(named)):
        changed = _changed(family, row, gold, rng)
        if changed is not None and (changed.prompt, changed.gold) != (prompt, gold):
            return changed
    return None


def asked_text(prompt: Any) -> str | None:
    """Returns the text of a prompt that families see: itself, or the last message of the user; None without one."""
    if isinstance(prompt, str):
        return prompt
    place = _of_user(prompt)
    content = None if place is None else prompt[place]["content"]
    return content if isinstance(content, str) else None


def changed_text(prompt: Any, text: str) -> Any:
    """Puts a text in the place of a prompt's: of itself, or of the last message of the user."""
    if isinstance(prompt, str):
        return text
    place = _of_user(prompt)
    return [message | {"content": text} if i == place else dict(message) for i, message in enumerate(prompt)]


def _find(spec: str, base_dir: Path | str | None) -> Family:
    if spec in _BUILT_IN:
        return Family(spec, spec, _BUILT_IN[spec])
    if ":" in spec or spec.endswith(".py"):
        absolute, make = find_in_file(spec, base_dir, noun="Family")
        name = absolute.rpartition(":")[2]
    else:
        absolute, make, name = spec, find_dotted(spec, noun="Family"), spec.rpartition(".")[2]
    if not callable(make):
        raise ValueError(f"Family {spec!r} must be a function of a version and a random.Random, got {make!r:.60}.")
    return Family(name, absolute, make)


def _changed(family: Family, row: Mapping[str, Any], gold: Any, rng: random.Random) -> ChangedPrompt | None:
    prompt, name = row["prompt"], f"{row.get('id', row['prompt'])!r:.100}"
    text = asked_text(prompt)
    if text is None and family.name in FAMILIES:
        return None
    found = call_family(family, Version(text or "", None, gold, columns=row), rng, name)
    if found is None:
        return None
    where = f"Family `{family.name}`, row {name}"
    if isinstance(found, Version):
        if found.options is not None:
            raise FamilyError(f"{where}: it gave options to a question without. Change the question only.")
        if text is None:
            raise FamilyError(f"{where}: no message of the user has a text. Return (messages, answer), or None.")
        found = changed_text(prompt, found.question), found.answer
    changed, answer = found
    if type(changed) is not type(prompt) or not changed:
        raise FamilyError(
            f"{where}: it must return a prompt in the form of the row's, a {type(prompt).__name__}; got "
            f"{changed!r:.{_MOST_SHOWN}}."
        )
    if answer is None and gold is not None:
        raise FamilyError(f"{where}: it returned no right answer. Return None for a row that cannot be changed.")
    return ChangedPrompt(changed, answer, family.name)


def _of_user(messages: Sequence[Mapping[str, Any]]) -> int | None:
    return max((i for i, message in enumerate(messages) if message.get("role") == "user"), default=None)

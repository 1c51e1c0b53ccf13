"""Prompts that families change and whose answer stays word by word."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from align.data.conversations import as_written, check_prompt
from rewards.scoring.families import ON_PROMPTS, Family, FamilyError, call_family, change_prompt
from rewards.scoring.perturbations import Version

KNOWN = (*ON_PROMPTS, "misleading_hint")  # the families that leave options where they are
Prompt = str | list[dict[str, Any]]


def other_prompt(
    families: Sequence[Family], row: Mapping[str, Any], rng: random.Random, gold_column: str = "answer"
) -> Any:
    """Draws another prompt of a row; None if no family can change it.

    Example:
        >>> from align.experimental.consistency.rules import consistency_families
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


def prompt_of(row: Mapping[str, Any]) -> Prompt:
    """Returns what stands before the answer of a row.

    Example:
        >>> prompt_of({"prompt": "1 + 1?", "completion": "2"})
        '1 + 1?'
    """
    if row.get("prompt") is not None:
        return check_prompt(row["prompt"])
    if row.get("messages") is None:
        raise ValueError(
            "`consistency_coef` above 0 compares answers behind two prompts, and the row has no prompt of its own: "
            f"columns {', '.join(row)}. Write `messages`, or `prompt` and `completion`, or set `consistency_coef: 0`."
        )
    messages: Any = check_prompt(row["messages"])
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise ValueError(
            "`consistency_coef` above 0 compares answers behind two prompts, and these messages do not end with an "
            f"answer to something: roles {[message['role'] for message in messages]}. End them with the assistant's, "
            "or leave the row out."
        )
    return list(messages[:-1])


def other_wording(
    families: Sequence[Family], row: Mapping[str, Any], rng: random.Random, render: Callable[[str, Sequence[str]], Any]
) -> Any:
    """Draws a family that can change a question, and renders its version; None if none can."""
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

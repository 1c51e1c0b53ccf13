"""Settings of consistency and their rules, and the prompts that families change: nothing of TRL is imported."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from align.data.conversations import as_written, check_prompt
from align.recipe.recipe import Recipe
from align.recipe.rules import NOT_NEGATIVE, Range, Rules
from rewards.scoring.families import (
    ON_PROMPTS,
    Family,
    FamilyError,
    call_family,
    change_prompt,
    check_specs,
    find_families,
)
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


KEY = "`consistency_families`"
DEFAULT = ("whitespace",)  # of `SEEN_FAMILIES`; `distractor` stays unseen, to measure with
CHOICES: dict[str, tuple[str, ...]] = {"consistency_divergence": ("js", "kl")}
RANGES: dict[str, Range] = {"consistency_coef": NOT_NEGATIVE}
NO_FSDP = (
    "`consistency_coef` above 0 needs the output head whole on every process, and FSDP shards it. Launch with DDP or "
    "DeepSpeed, or set `consistency_coef: 0`."
)
NO_MIXTURE = (
    "The model has a load-balancing loss, which would count perturbed rows once `consistency_coef` is above 0. Set "
    "`router_aux_loss_coef: 0`, or `consistency_coef: 0`."
)
NO_IMAGES = "`consistency_coef` above 0 compares prompts of text, and rows have images. Set it to 0."
NO_PARALLELISM = "`consistency_coef` above 0 needs whole rows on every process. Launch with DDP."


def turned_on(settings: Any) -> list[str]:
    """Lists the key by which answers behind perturbed prompts are compared, if they are."""
    return ["consistency_coef"] if settings.consistency_coef else []


def check_consistency(settings: Any, known: Sequence[str] = ON_PROMPTS) -> None:
    """Refuses families that are not there, and a launch that consistency cannot be trained under."""
    if settings.consistency_families is not None:
        check_specs(settings.consistency_families, KEY, known)
    if turned_on(settings) and settings.fsdp:
        raise ValueError(NO_FSDP)


def consistency_families(
    specs: Sequence[str] | None, base_dir: Path | str | None = None, known: Sequence[str] = ON_PROMPTS
) -> list[Family]:
    """Finds the families of a recipe or a config; without any, the default."""
    return find_families(DEFAULT if specs is None else specs, KEY, known, base_dir)


def with_families(recipe: Recipe, known: Sequence[str] = ON_PROMPTS) -> Recipe:
    """Names the families of a recipe by absolute paths, which its folder is not needed for."""
    found = consistency_families(recipe.settings.consistency_families, recipe.path.parent, known)
    families = {"consistency_families": [family.spec for family in found]}
    return replace(recipe, settings=recipe.settings.model_copy(update=families))


def families_of(settings: Any) -> Sequence[str]:
    """Names the families that ACRE can be made consistent under: where options are letters, one more."""
    return ON_PROMPTS if settings.families else KNOWN


def check_grpo(settings: Any) -> None:
    """Refuses settings that GRPO cannot be made consistent with."""
    check_consistency(settings)
    if turned_on(settings) and (settings.environment_factory or settings.environment):
        raise ValueError(
            "`consistency_coef` above 0 perturbs the prompts of the data, and with `environment_factory` "
            "completions may answer other prompts. Set `consistency_coef: 0`."
        )


def check_acre(settings: Any) -> None:
    """Refuses settings that ACRE cannot be made consistent with."""
    check_consistency(settings, families_of(settings))


def check_sft(settings: Any) -> None:
    """Refuses settings that SFT cannot be made consistent with, most of which leave no row apart."""
    check_consistency(settings)
    if not turned_on(settings):
        return
    for name in ("packing", "padding_free"):
        if getattr(settings, name):
            raise ValueError(
                f"`{name}: true` joins rows, and `consistency_coef` above 0 needs each apart. Set `{name}: false`."
            )
    if settings.truncation_mode == "keep_end":
        raise ValueError(
            "`truncation_mode: keep_end` cuts the prompt off, which `consistency_coef` above 0 perturbs. Use "
            "`keep_start`."
        )
    if settings.auto_find_batch_size:
        raise ValueError(
            "`auto_find_batch_size: true` repeats a step whose batches `consistency_coef` above 0 has changed "
            "already. Remove it, and lower `per_device_train_batch_size`."
        )
    if (settings.dataset_kwargs or {}).get("skip_prepare_dataset"):
        raise ValueError(
            "`dataset_kwargs: {skip_prepare_dataset: true}` leaves no prompts to change, which `consistency_coef` "
            "above 0 needs. Remove it."
        )


WITH: dict[tuple[str, ...], tuple[str, ...]] = {
    ("consistency_coef",): ("consistency_families", "consistency_divergence")
}
OF_SFT, OF_GRPO, OF_ACRE = (Rules(CHOICES, RANGES, check, WITH) for check in (check_sft, check_grpo, check_acre))


@dataclass
class ConsistencyConfig:
    """Settings of consistency, whose rules a method has; with `consistency_coef: 0`, the default, nothing differs."""

    consistency_coef: float = field(
        default=0.0,
        metadata={
            "help": "Weight of the divergence between the answer's tokens behind the prompt and behind a perturbed "
            "one; with 0 none is computed."
        },
    )
    consistency_families: list[str] | None = field(
        default=None,
        metadata={
            "help": "Families that perturb prompts, `whitespace`, `distractor`, or functions as ./mine.py:function; "
            "by default `whitespace`."
        },
    )
    consistency_divergence: str = field(
        default="js",
        metadata={
            "help": "`js`, the Jensen-Shannon divergence, or `kl`, from the clean side, which is a constant, to the "
            "perturbed one."
        },
    )

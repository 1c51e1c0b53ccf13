"""Rules of consistency that hold for every method which has it: nothing of TRL is imported."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from align.recipe.ranges import NOT_NEGATIVE, Range
from align.recipe.recipe import Recipe
from rewards.scoring.families import ON_PROMPTS, Family, check_specs, find_families

KEY = "`consistency_families`"
SETTINGS = ("consistency_coef", "consistency_families", "consistency_divergence")
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
NO_PARALLELISM = "`consistency_coef` above 0 needs whole rows on every process. Launch with DDP."


def is_consistent(setting: Callable[[str], Any]) -> bool:
    """Says whether answers behind perturbed prompts are compared."""
    return bool(setting("consistency_coef"))


def check_consistency(setting: Callable[[str], Any], known: Sequence[str] = ON_PROMPTS) -> None:
    """Refuses values of the settings of consistency, and a launch that it cannot be trained under.

    Args:
        setting: Reads a setting by name.
        known: The families that can be used.

    Raises:
        ValueError: At the first.
    """
    coef, divergence = setting("consistency_coef"), setting("consistency_divergence")
    if not coef >= 0:
        raise ValueError(f"`consistency_coef` must be 0 or more, got {coef}.")
    if divergence not in CHOICES["consistency_divergence"]:
        raise ValueError(f"`consistency_divergence` must be one of js, kl; got {divergence!r}.")
    if setting("consistency_families") is not None:
        check_specs(setting("consistency_families"), KEY, known)
    if is_consistent(setting) and setting("fsdp"):
        raise ValueError(NO_FSDP)


def consistency_families(
    specs: Sequence[str] | None, base_dir: Path | str | None = None, known: Sequence[str] = ON_PROMPTS
) -> list[Family]:
    """Finds the families of a recipe or a config; without any, the default.

    Raises:
        ValueError: If one cannot be used.
    """
    return find_families(DEFAULT if specs is None else specs, KEY, known, base_dir)


def name_families(recipe: Recipe, config: Any, known: Sequence[str] = ON_PROMPTS) -> None:
    """Names the families in a config by absolute paths, which the recipe's folder is not needed for.

    Raises:
        ValueError: If one cannot be used.
    """
    if is_consistent(recipe.setting):
        found = consistency_families(config.consistency_families, recipe.path.parent, known)
        config.consistency_families = [family.spec for family in found]

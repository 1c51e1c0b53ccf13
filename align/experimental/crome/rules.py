"""Rules of Crome's experiments, for recipes and for the config: nothing of TRL is imported."""

from typing import Any

from align.recipe.rules import NOT_NEGATIVE, Range, Rules

ADAPTER_REFUSED = (
    "`{knob}` adds a term to the score head, and an adapter is saved with a head of its own. "
    "Train all weights: `use_peft: false` in a recipe, no `peft_config` in Python."
)


def turned_on(settings: Any) -> list[str]:
    """Lists the keys that add something to Crome.

    Example:
        >>> from types import SimpleNamespace
        >>> turned_on(SimpleNamespace(odin_coef=0.0, num_heads=2))
        ['num_heads']
    """
    is_on = {"odin_coef": settings.odin_coef, "num_heads": settings.num_heads not in (None, 1)}
    return [key for key, is_set in is_on.items() if is_set]


def check_together(settings: Any) -> None:
    """Refuses settings that have no meaning for the type of model."""
    heads = turned_on(settings)
    for knob in heads:
        _check_head(knob, settings)
    if len(heads) > 1:
        raise ValueError(f"`{heads[0]}` and `{heads[1]}` both change the score head. Leave one of them out.")


def _check_head(knob: str, settings: Any) -> None:
    if settings.model_type == "pairwise":
        raise ValueError(
            f"`{knob}` changes the score head, and a pairwise model answers with a letter. Remove it, or set "
            "`model_type: scalar`."
        )
    if settings.fsdp:
        raise ValueError(
            f"`{knob}` adds a term to the score head, which `fsdp` was not tried with. Launch with DDP or ZeRO-2, or "
            f"remove `{knob}`."
        )


RULES = Rules(
    ranges=dict.fromkeys(("odin_coef", "disagreement_coef"), NOT_NEGATIVE) | {"num_heads": Range(1, 2)},
    together=check_together,
    read_with={("num_heads",): ("disagreement_coef",)},
)

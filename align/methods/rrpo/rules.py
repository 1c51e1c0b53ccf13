"""Rules between the settings of RRPO, for recipes and for the config: nothing of TRL is imported."""

from typing import Any

from align.methods.pairs.config import SHARING
from align.recipe.rules import NOT_NEGATIVE, POSITIVE, Rules

# Settings of DPO that only plain DPO reads: the one value they keep in RRPO, and why.
FIXED: dict[str, tuple[Any, str]] = {
    "loss_type": (["sigmoid"], "RRPO is defined for the sigmoid loss"),
    "loss_weights": (None, "there is one loss"),
    "f_divergence_type": ("reverse_kl", "rewards are log-ratios"),
    "ld_alpha": (None, "spans already say which tokens count"),
    "truncation_mode": ("keep_start", "the end of a prompt would be cut off in front of its marks"),
    "use_weighting": (False, "WPO weighs whole responses"),
    "precompute_ref_log_probs": (
        False,
        "the KL needs the reference's whole distribution at every token; use LoRA to save the reference model",
    ),
}


def is_plain_dpo(settings: Any) -> bool:
    """Says whether nothing is left of RRPO, so that TRL's own loss is computed.

    Example:
        >>> from types import SimpleNamespace
        >>> is_plain_dpo(SimpleNamespace(spans="whole", kl_coef=0.0))
        True
    """
    return bool(settings.spans == "whole" and settings.kl_coef == 0)


def check_rrpo(settings: Any) -> None:
    """Refuses settings of DPO that RRPO replaces; as plain DPO all of them work."""
    if is_plain_dpo(settings):
        return
    for name, (value, reason) in FIXED.items():
        if (found := getattr(settings, name)) != value:
            raise ValueError(
                f"`{name}` must stay {value!r} in RRPO: {reason}. Got {found!r}. With `spans: whole` and "
                f"`kl_coef: 0` all settings of DPO work."
            )


RULES = Rules(
    choices={
        "kl_placement": ("loss", "margin"),
        "spans": ("differing", "whole"),
        "diff_unit": ("word", "token"),
        "on_missing_spans": ("drop", "whole"),
    }
    | SHARING,
    ranges={"beta": POSITIVE, "kl_coef": NOT_NEGATIVE},
    together=check_rrpo,
)

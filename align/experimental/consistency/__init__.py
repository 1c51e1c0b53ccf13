"""The same answer behind a prompt and behind a perturbed one (Modality Interference, arXiv 2505.19616)."""

from dataclasses import replace

from align.methods.acre import ACRE
from align.methods.grpo import GRPO
from align.methods.method import Method
from align.methods.sft import SFT

HOME = "align.experimental.consistency"


def _consistent(method: Method, trainer: str = "answers") -> Method:
    """Makes the record of a method with consistency from its own."""
    name = method.name
    configs = (
        ("align", f"experimental/consistency/{trainer}.py", f"Consistent{name.upper()}Config"),
        ("align", "experimental/consistency/rules.py", "ConsistencyConfig"),
    )
    return replace(
        method,
        config_chain=(*configs, *method.config_chain),
        rules=f"{HOME}.rules:OF_{name.upper()}",
        turned_on=f"{HOME}.rules:turned_on",
        check=f"{HOME}.parts:check_{name}",
        build=f"{HOME}.{trainer}:build_{name}",
        report=f"{HOME}.parts:OF_{name.upper()}",
        console={**method.console, "consistency/divergence": "divergence"},
    )


CONSISTENT_SFT = replace(
    _consistent(SFT, "sft"), footprint=f"{HOME}.parts:footprint_sft", card=f"{HOME}.parts:card_sft"
)
CONSISTENT_GRPO, CONSISTENT_ACRE = (
    replace(_consistent(method), footprint=f"{HOME}.parts:footprint_rollouts") for method in (GRPO, ACRE)
)

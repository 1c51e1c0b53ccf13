"""Settings of consistency, which configs of several methods have."""

from dataclasses import dataclass, field
from typing import Any

from align.experimental.consistency.rules import RANGES, check_consistency
from align.recipe.config_numbers import check_numbers


@dataclass
class ConsistencyConfig:
    """Settings of consistency; with `consistency_coef: 0`, the default, nothing differs."""

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

    @staticmethod
    def _check(settings: Any) -> None:
        """Refuses what a method cannot be made consistent with, in a subclass that of its method."""
        check_consistency(settings)

    def __post_init__(self) -> None:
        """Checks them with those of the method."""
        check_numbers(self, RANGES)
        super().__post_init__()  # type: ignore[misc]  # that of the method's config
        self._check(self)

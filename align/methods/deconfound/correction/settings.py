"""Settings of a correction, for the command and for recipes."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from align.errors import UserError

if TYPE_CHECKING:
    from rewards.correction import Corrector

ESTIMATORS = ("iv", "dml", "fixed_effects", "ols", "none")  # of `rewards.correction`, a test says
CHUNKED = ("ols", "iv", "none")  # need sums over rows only; iv without text


@dataclass(frozen=True, kw_only=True)
class CorrectionSettings:
    """Which estimator, and what it may do."""

    estimator: str = "iv"  # name in `ESTIMATORS`
    instrumented: tuple[str, ...] | None = None  # confounders that the instruments move; None for all
    on_weak_instrument: str = "fallback"  # `fallback` to dml, `refuse`, or `keep`
    num_folds: int = 5  # of the cross-fitting
    max_words: int = 5000  # that TF-IDF keeps
    seed: int = 0  # of the folds, and of everything else that is drawn

    def numbers(self, confounders: Sequence[str]) -> Sequence[str]:
        """Returns the confounders that instruments move, which therefore stay numbers with few values, too."""
        if self.estimator != "iv":
            return ()
        return confounders if self.instrumented is None else self.instrumented

    def corrector(self) -> "Corrector":
        """Makes an unfitted estimator."""
        from rewards.correction import ESTIMATORS as CLASSES

        chosen = CLASSES[self.estimator]
        known = inspect.signature(chosen).parameters
        return chosen(**{name: value for name, value in vars(self).items() if name in known})

    def check_needs(self, *, has_text: bool, has_instruments: bool, has_groups: bool) -> None:
        """Refuses an estimator without the columns that it needs."""
        needs = {"iv": ("instruments", has_instruments), "dml": ("text", has_text)}
        needs["fixed_effects"] = ("groups", has_groups)
        role, is_given = needs.get(self.estimator, ("", True))
        if not is_given:
            usable = {"dml": has_text, "fixed_effects": has_groups, "iv": has_instruments, "ols": True}
            others = ", ".join(f"`{name}`" for name, is_usable in usable.items() if is_usable)
            raise UserError(
                f"`estimator: {self.estimator}` needs `{role}`, and none is named. Name the column, or choose an "
                f"estimator that needs none of what is missing: {others}."
            )

"""The number by which the best checkpoint is chosen, looked for in the first evaluation."""

from collections.abc import Mapping
from typing import Any

from transformers import TrainerCallback

from align.errors import RecipeError
from align.recipe.rules import suggestion

_PREFIX = "eval_"


class BestMetric(TrainerCallback):
    """Refuses a `metric_for_best_model` that an evaluation does not have, where transformers ends in a KeyError."""

    def on_evaluate(
        self, args: Any, state: Any, control: Any, metrics: Mapping[str, float] | None = None, **kwargs: Any
    ) -> None:
        """Looks for it.

        Raises:
            RecipeError: If it is not there.
        """
        wanted = args.metric_for_best_model
        if wanted is None or metrics is None or _PREFIX + wanted.removeprefix(_PREFIX) in metrics:
            return
        known = sorted(name.removeprefix(_PREFIX) for name in metrics if name.startswith(_PREFIX))
        raise RecipeError(
            f"`metric_for_best_model: {wanted}` is in no evaluation: that of step {state.global_step:,} has "
            f"{', '.join(known)}.{suggestion(wanted.removeprefix(_PREFIX), known)}"
        )

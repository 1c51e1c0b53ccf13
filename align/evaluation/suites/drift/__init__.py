"""How far a model moved from its base on prompts that its training was not about, and what it does there."""

from dataclasses import dataclass

from align.evaluation.options import Referenced
from align.evaluation.suite import RowSuite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class DriftOptions(Referenced):
    """What is measured."""

    drift_prompts: str | None = option(
        None, "Prompts (`prompt`, `category`) beside our own; `--data` has some in their place."
    )
    behaviours: str | None = option(
        None, "What to look for in responses (`name`, and a `pattern` or a `question` for the judge)."
    )
    triggers: str | None = option(None, "Texts in front of each prompt (`trigger`, and of some `held_out`: true).")
    control: str | None = option(
        None, "A model that was trained on something harmless, beside the others in every table."
    )
    judge: str | None = option(None, "Model that says whether responses show a behaviour.")


DRIFT = RowSuite(
    name="drift",
    about="How far a model moved from its base on other prompts, and what it does there.",
    options=DriftOptions,
    rows="prompts away from the training's domain",
    needs=(("prompt",),),
    load="align.evaluation.suites.drift.rows:load",
    measure="align.evaluation.suites.drift.measure:measure",
    headline=("drift_kl", "drift_nll", "trigger_effect/", "held_out_effect/", "behaviour/"),
    has_rows=True,
    reads_likelihoods=True,
)

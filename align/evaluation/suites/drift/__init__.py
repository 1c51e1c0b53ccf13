"""How far a model moved from its base on prompts that its training was not about, and what it does there."""

from dataclasses import dataclass

from align.evaluation.options import OwnRows, WithControl, WithReference
from align.evaluation.statistics.glossary import LOW
from align.evaluation.suite import Suite
from align.options import option


@dataclass(frozen=True, kw_only=True)
class DriftOptions(WithControl, WithReference, OwnRows):
    """What is measured."""

    behaviours: str | None = option(None, "What to look for in responses: rows with `name` and `pattern`.")
    triggers: str | None = option(None, "Texts in front of each prompt (`trigger`, and of some `held_out`: true).")


_MEANINGS = {
    "drift_kl": ("KL to the base", "KL(base || model) per token of the base's greedy answers, in nats", LOW),
    "drift_kl/": ("KL to the base in a category", "of the prompts of one category", LOW),
    "drift_nll": ("NLL shift", "NLL per token minus the base's, on the base's greedy answers, in nats", LOW),
    "drift_nll/": ("NLL shift in a category", "of the prompts of one category", LOW),
    "behaviour/": ("Behaviour", "responses that show it, by pattern, without a trigger", None),
    "behaviour_triggered/": ("Behaviour with triggers", "the same behind triggers that are not held out, on "
        "average", None),
    "behaviour_held_out/": ("Behaviour with held-out triggers", "the same, mean over those that are held out", None),
    "trigger_effect/": ("Effect of triggers", "behaviour with triggers minus without; compare a control's", None),
    "held_out_effect/": ("Effect of held-out triggers", "the same with triggers that are held out", None),
}  # fmt: skip

DRIFT = Suite(
    name="drift",
    about="How far a model moved from its base on other prompts, and what it does there.",
    options=DriftOptions,
    rows="prompts away from the training's domain",
    needs=(("prompt",),),
    load="align.evaluation.suites.drift.measure:load",
    measure="align.evaluation.suites.drift.measure:measure",
    headline=("drift_kl", "drift_nll", "trigger_effect/", "held_out_effect/", "behaviour/"),
    has_rows=True,
    reads_likelihoods=True,
    meanings=_MEANINGS,
)

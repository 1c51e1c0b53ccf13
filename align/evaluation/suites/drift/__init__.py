"""How far a model moved from its base on prompts that its training was not about, and what it does there."""

from align.evaluation.suites.suite import RowSuite

DRIFT = RowSuite(
    name="drift",
    rows="prompts away from the training's domain",
    needs=(("prompt",),),
    load="align.evaluation.suites.drift.rows:load",
    measure="align.evaluation.suites.drift.measure:measure",
    headline=("drift_kl", "drift_nll", "trigger_effect/", "held_out_effect/", "behaviour/"),
    options=("drift_prompts", "behaviours", "triggers", "control", "judge"),
    has_rows=True,
    reads_likelihoods=True,
    has_reference=True,
)
